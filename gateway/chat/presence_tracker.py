"""Presence of this worker's sessions: joins, leaves, dropped connections, and the notices about them.

Three rules decide who is announced:

- A user is announced once, however many tabs: with the first session in, and with the last one out.
- A dropped connection is a leave only after the grace period. Who reloads the page, or moves to another worker, was
  never away. Example with a grace period of 10 s: ann's only connection drops at 0 s. If she is back by 9 s, under
  whatever session id, nobody hears of it; else her leave is announced at 10 s.
- Notices are sent at most once. Presence itself is made right: what the store did not take is tried again.

Sessions of other workers are the reaper's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from gateway.access.room_rules import RoomRules
from gateway.chat.counted_rooms import CountedRooms
from gateway.chat.notices import Notices
from gateway.chat.retries import Retries, note_refused, until_stored
from gateway.chat.sessions import Membership, Sessions
from gateway.errors import StoreError, StoreUnavailable
from gateway.interfaces import Reply
from gateway.option_groups import PresenceOptions
from gateway.state.batches import batched
from gateway.state.moderation import subject_of
from gateway.state.presence import UNCLAIMED, Change, Claim, Presence, User
from gateway.state.room_counts import RoomCounts
from gateway.state.workers import Workers
from gateway.timers import Timers

log = structlog.get_logger("gateway.chat")


@dataclass(frozen=True, slots=True, eq=False)
class Dropped:
    """A session whose connection dropped; each drop is one of its own, so that a later one ends an earlier one."""

    room: str
    session: str
    username: str


class PresenceTracker:
    """Puts this worker's sessions into rooms and takes them out."""

    def __init__(
        self,
        sessions: Sessions,
        presence: Presence,
        workers: Workers,
        notices: Notices,
        timers: Timers,
        options: PresenceOptions,
        counts: RoomCounts,
        rules: RoomRules | None = None,
    ) -> None:
        self._sessions = sessions  # who is connected here: who is put back into a store that has lost them
        self._presence = presence  # who is in which room, in the store
        self._workers = workers  # in which rooms this worker has sessions, in the store
        self._notices = notices
        self._grace_s = options.grace_s
        self._grace = timers.queue(options.grace_s, self._grace_over)
        self._retries = Retries()
        self._counted = CountedRooms(counts, rules, self._retries)  # sessions in rooms that only count them
        self._rooms: set[str] = (
            set()
        )  # the rooms that this worker is noted in, or will be when the store answers
        self._dropped: dict[tuple[str, str], Dropped] = {}  # by room and session, until it leaves or is back
        self._registering: asyncio.Task[None] | None = None

    # -- joins and leaves

    def enter(
        self,
        room: str,
        session: str,
        username: str,
        on_result: Callable[[Change | StoreError], None],
        who: Claim = UNCLAIMED,
        users_max: int = 0,
    ) -> None:
        """A session joins a room; `on_result` gets what that did. The caller announces it once the member is live.
        Where `users_max` users are there, no other comes in; 0 is no limit.

        The session may have been dropped before, because its leave or its first attempt to join failed. It stays now.
        """
        self._dropped.pop((room, session), None)
        if room not in self._rooms:
            self._rooms.add(room)
            self._workers.will_enter(room, partial(self._on_room_noted, room))
        if room in self._counted:
            subject = subject_of(who.user or "", username)
            self._counted.enter(room, session, on_result, subject, users_max)
        else:
            self._presence.enter(room, session, username, on_result, who, users_max)

    def _on_room_noted(self, room: str, reply: Reply) -> None:
        if isinstance(reply, StoreError):
            self._rooms.discard(room)  # the next join notes it again

    def announce_joined(self, room: str, session: str, username: str, change: Change) -> None:
        """Tells the others that a session's user has come, unless another session of the user was there."""
        if change.is_announced:
            self._notices.joined(room, username, change, session)

    async def leave(self, room: str, session: str, username: str) -> None:
        """A session leaves a room. Raises a StoreError."""
        if room in self._counted:
            self._counted.leave(room, session)
            return
        change = await self._presence.leave(room, session, username)
        self._announce_left(room, username, change)

    def _announce_left(self, room: str, username: str, change: Change) -> None:
        if change.is_announced:
            self._notices.left(room, username, change)

    async def members(self, room: str, most: int) -> tuple[list[str], int]:
        """Up to `most` usernames of a room, and how many users it has. Raises a StoreError."""
        return await self._presence.members(room, most)

    async def identified(self, room: str, most: int) -> list[User]:
        """Up to `most` of its users who have shown a token. Raises a StoreError."""
        return await self._presence.identified(room, most)

    async def is_present(self, room: str, username: str) -> bool:
        """Whether the room counts a user as present, from whatever connection. Raises a StoreError."""
        return await self._presence.has_user(room, username)

    async def holders(self, room: str, username: str) -> set[str]:
        """The ids of users in a room who hold a name that looks like this one. Raises a StoreError."""
        return await self._presence.holders(room, username)

    # -- dropped connections

    def drop(self, room: str, session: str, username: str) -> None:
        """A session's connection is gone: it leaves when the grace period is over; at once where it is only counted."""
        if room in self._counted:
            self._counted.leave(room, session)
            return
        dropped = self._dropped[room, session] = Dropped(room, session, username)
        if self._grace_s > 0:
            self._retries.start_soon(self._store_unless_back(self._mark_away, "away", dropped))
        self._grace.add(dropped)

    def _grace_over(self, dropped: Dropped, due_s: float) -> None:
        self._retries.start_soon(self._leave_at_last(dropped))

    async def _leave_at_last(self, dropped: Dropped) -> None:
        await self._store_unless_back(self._expire, "leave", dropped)
        if self._is_dropped(dropped):
            del self._dropped[dropped.room, dropped.session]

    async def _store_unless_back(
        self, attempt: Callable[[Dropped], Awaitable[None]], what: str, dropped: Dropped
    ) -> None:
        """Ended when the store has done or refused it, or when the session is back."""

        async def unless_back() -> None:
            if self._is_dropped(dropped):
                await attempt(dropped)

        await self._retries.until_stored(unless_back, what, room=dropped.room, session=dropped.session)

    def _is_dropped(self, dropped: Dropped) -> bool:
        """Whether the session has not come back to the room since."""
        return self._dropped.get((dropped.room, dropped.session)) is dropped

    async def _mark_away(self, dropped: Dropped) -> None:
        await self._presence.away(dropped.room, dropped.session)

    async def _expire(self, dropped: Dropped) -> None:
        change = await self._presence.leave(dropped.room, dropped.session, dropped.username)
        log.info("member_expired", room=dropped.room, session=dropped.session, user=dropped.username)
        self._announce_left(dropped.room, dropped.username, change)

    # -- rooms, and a store that has lost them

    def on_room_closed(self, name: str) -> None:
        """This worker has no sessions in the room any more."""
        self._rooms.discard(name)
        self._retries.start_soon(self._retries.until_stored(partial(self._quit, name), "quit", room=name))

    async def _quit(self, room: str) -> None:
        if room not in self._rooms:
            await self._counted.settle(room)  # nobody else looks at the room afterwards
            await self._workers.quit([room])

    def register_again(self) -> None:
        """Puts the sessions of this worker back, silently: the store may have lost them while it was away, or others
        have cleaned up after this worker."""
        if self._registering is not None:
            self._registering.cancel()
        self._registering = self._retries.start(self._register(self._sessions.everyone()))

    async def _register(self, everyone: list[Membership]) -> None:
        """Ended when all are there, or by the next call, which has a newer list. Backs off as `until_stored` does."""
        rooms = sorted({membership.room for membership in everyone})
        self._rooms.update(rooms)
        for some in batched(rooms):
            await until_stored(partial(self._workers.enter, some), "enter", rooms=len(some))
        self._counted.renew()
        for few in batched([one for one in everyone if one.room not in self._counted]):
            await self._put_back(few)

    async def _put_back(self, memberships: Sequence[Membership]) -> None:
        """Those who have not left meanwhile. What the store refuses is logged and given up, the rest tried again."""
        left = list(memberships)

        async def attempt() -> None:
            left[:] = [one for one in left if self._sessions.is_in(one.room, one.session)]
            results = await self._presence.join_all(left)
            away = [result for result in results if isinstance(result, StoreUnavailable)]
            for one, result in zip(left, results, strict=True):
                if isinstance(result, StoreError) and not isinstance(result, StoreUnavailable):
                    note_refused("join", result, room=one.room, session=one.session)
            left[:] = [
                one for one, result in zip(left, results, strict=True) if isinstance(result, StoreUnavailable)
            ]
            if away:
                raise away[0]

        await until_stored(attempt, "join", rooms=len(left))

    async def close(self) -> None:
        """Gives up what has not reached the store."""
        await self._retries.close()
