"""Who is announced, and when.

Owns presence as people see it: one notice per user, however many tabs; a dropped connection is a leave only after
the grace period; the sessions of a dead worker are cleaned up by those who live. Notices are at most once.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson
import structlog

from gateway.errors import StoreError
from gateway.protocol import notice_json
from gateway.rooms.publisher import Publisher
from gateway.settings import PresenceOptions
from gateway.state.presence import Change, Presence
from gateway.state.workers import Workers
from gateway.timers import Timers

log = structlog.get_logger("gateway.chat")

Everyone = list[tuple[str, str, str]]
"""(room, session, username) of memberships."""

STOOD_STILL = 1.2
"""A heartbeat that took longer than so many of its intervals was stopped on the way."""

AGAIN_S = 1.0
"""Wait before something that the store did not take is tried again."""


@dataclass(frozen=True, slots=True)
class Away:
    """A session whose connection dropped."""

    room: str
    session: str
    username: str


class PresenceTracker:
    """Joins, leaves and drops of this worker's sessions, and the clean-up after dead workers."""

    def __init__(
        self,
        presence: Presence,
        workers: Workers,
        publisher: Publisher,
        timers: Timers,
        options: PresenceOptions,
    ) -> None:
        self._presence = presence
        self._workers = workers
        self._publisher = publisher
        self._options = options
        self._grace = timers.queue(options.grace_s, self._grace_over)
        self._tasks: set[asyncio.Task[None]] = set()
        self._rooms: set[str] = set()
        self._away: dict[tuple[str, str], Away] = {}
        self._registering: asyncio.Task[None] | None = None
        self._beat_now = asyncio.Event()
        self.on_taken_for_dead: Callable[[], None] = lambda: None

    def come(
        self, room: str, session: str, username: str, on_result: Callable[[Change | StoreError], None]
    ) -> None:
        """A session enters a room; `then` gets what that did. The caller announces, once the member is live. If it
        was dropped before (its leave or its first attempt failed), that is off."""
        self._away.pop((room, session), None)
        if room not in self._rooms:
            self._rooms.add(room)
            self._workers.will_enter(room, lambda reply: self._entered(room, reply))
        self._presence.enter(room, session, username, on_result)

    def _entered(self, room: str, reply: object) -> None:
        if isinstance(reply, StoreError):
            self._rooms.discard(room)

    def announce_joined(self, room: str, session: str, username: str, change: Change) -> None:
        """Tells the others, if the user is new and the room not too large."""
        if change.is_announced:
            self._announce(room, f"{username} has joined the room", change.count, session)

    async def go(self, room: str, session: str, username: str) -> None:
        """A session leaves a room. Raises a StoreError."""
        change = await self._presence.leave(room, session)
        self._left(room, username, change)

    def drop(self, room: str, session: str, username: str) -> None:
        """A session's connection is gone: it leaves when the grace period is over."""
        away = self._away[room, session] = Away(room, session, username)
        if self._options.grace_s > 0:
            self._start(self._until_stored(lambda: self._mark_away(away)))
        self._grace.add(away)

    async def members(self, room: str, most: int) -> tuple[list[str], int]:
        """Up to `most` usernames of a room, and how many users it has. Raises a StoreError."""
        return await self._presence.members(room, most)

    def on_room_closed(self, room: str) -> None:
        """This worker has no sessions in the room any more."""
        self._rooms.discard(room)
        self._start(self._until_stored(lambda: self._quit(room)))

    async def _quit(self, room: str) -> None:
        if room not in self._rooms:
            await self._workers.quit(room)

    def _left(self, room: str, username: str, change: Change) -> None:
        if change.is_announced:
            self._announce(room, f"{username} has left the room", change.count, "")

    def _announce(self, room: str, sentence: str, count: int, except_session: str) -> None:
        if count > self._options.notices_users_max:
            return
        now_ms = int(time.time() * 1000)
        notice = notice_json(sentence, self._options.system_name, orjson.dumps(room), now_ms)
        self._publisher.announce(room, notice, except_session)

    def _grace_over(self, away: Away, due_s: float) -> None:
        self._start(self._until_stored(lambda: self._leave_at_last(away)))

    def _is_away(self, away: Away) -> bool:
        """Whether the session has not come back to the room since."""
        return self._away.get((away.room, away.session)) is away

    async def _mark_away(self, away: Away) -> None:
        if self._is_away(away):
            await self._presence.away(away.room, away.session)

    async def _leave_at_last(self, away: Away) -> None:
        if not self._is_away(away):
            return
        change = await self._presence.leave(away.room, away.session)
        if self._is_away(away):
            del self._away[away.room, away.session]
        log.info("member_expired", room=away.room, session=away.session, user=away.username)
        self._left(away.room, away.username, change)

    # -- the others

    async def run(self) -> None:
        """Woken every `heartbeat_s`, with jitter, and by `beat_soon`; ended by cancellation. Beats, and looks for dead
        workers; what the store does not take is tried again at the next turn."""
        is_known = False
        while True:
            self._beat_now.clear()
            began_s = time.monotonic()
            try:
                if await self._workers.beat() and is_known:
                    log.warning("worker_presumed_dead", worker=self._workers.worker)
                    self.on_taken_for_dead()
                is_known = True
                for worker in await self._workers.dead():
                    await self._clean_up(worker)
            except StoreError as error:
                log.debug("heartbeat_failed", reason=str(error))
            await self._pause(began_s)

    def beat_soon(self) -> None:
        """The next heartbeat need not wait: the store is back."""
        self._beat_now.set()

    async def _pause(self, began_s: float) -> None:
        """Until the next heartbeat; not at all if this worker stood still during the last one."""
        pause_s = self._options.heartbeat_s * random.uniform(0.8, 1.2)
        if time.monotonic() - began_s > STOOD_STILL * self._options.heartbeat_s:
            pause_s = self._options.heartbeat_s / 10
        try:
            async with asyncio.timeout(pause_s):
                await self._beat_now.wait()
        except TimeoutError:
            pass

    async def _clean_up(self, worker: str) -> None:
        if worker == self._workers.worker:
            return
        rooms = await self._workers.rooms_of(worker)
        log.info("worker_cleaned_up", dead=worker, rooms=len(rooms))
        for room in rooms:
            gone, count = await self._presence.sweep(room, worker)
            for username in gone:
                self._announce(room, f"{username} has left the room", count, "")
            await self._workers.quit(room, worker)
        await self._workers.forget(worker)

    def register_again(self, everyone: Everyone, is_there: Callable[[str, str], bool]) -> None:
        """Puts the sessions of this worker back, silently: the store was away and may have lost them."""
        if self._registering is not None:
            self._registering.cancel()
        self._registering = self._start(self._register(everyone, is_there))

    async def _register(self, everyone: Everyone, is_there: Callable[[str, str], bool]) -> None:
        """Ended when all are there, or by the next call; what the store does not take is tried again."""
        for room in {room for room, _, _ in everyone}:
            self._rooms.add(room)
            await self._until_stored(partial(self._workers.enter, room))
        for room, session, username in everyone:
            if is_there(room, session):
                await self._until_stored(partial(self._presence.join, room, session, username))

    # -- small tasks

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _until_stored(self, attempt: Any) -> None:
        """Repeats something that must reach the store, once a second while it does not; ended by `close`."""
        while True:
            try:
                await attempt()
                return
            except StoreError:
                await asyncio.sleep(AGAIN_S)

    async def depart(self) -> None:
        """Says good-bye: what is left of this worker's sessions is swept once the grace period is over."""
        try:
            await self._workers.depart(self._options.grace_s)
        except StoreError as error:
            log.warning("departure_not_stored", reason=str(error))

    async def close(self) -> None:
        """Ends the small tasks."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
