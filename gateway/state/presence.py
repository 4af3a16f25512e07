"""Who is in which room, over all workers.

Owns the members (sessions) and users (names) of rooms. A user is in a room while one of its sessions is. A session
whose connection dropped counts until it is taken out, when its grace period is over. The scripts decide what is
announced, the first session of a user and the last one; the caller publishes it.

Where tokens count, a session comes with its user's id, empty for a guest. A user then holds every name that looks like
its own while it is in the room: nobody else comes in under one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from gateway import keys
from gateway.errors import Moderated, NameTaken, StoreError
from gateway.interfaces import CommandStore, PresenceEvents, Reply
from gateway.names import skeletons
from gateway.redis.connection import settle
from gateway.state.batches import all_replies
from gateway.state.moderation import subject_of
from gateway.state.scripts import (
    IDENTIFIED,
    MEMBERS,
    PRESENCE_AWAY,
    PRESENCE_JOIN,
    PRESENCE_LEAVE,
    PRESENCE_SWEEP,
)


@dataclass(frozen=True, slots=True)
class Change:
    """What a join or leave did: whether the user came or went with it, how many users there are now, and when that was
    by the store's clock (ms since 1970); or that the room was full, and it did nothing. `is_moderated`: moderators have
    decided something about the room."""

    is_announced: bool
    count: int
    at_ms: int = field(default=0, compare=False)
    is_full: bool = False
    is_moderated: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Swept:
    """What a piece of a sweep did: the users who are gone with it, how many are left, when that was, and the cursor to
    go on from; empty once all is done. `counted` are the sessions of the worker that were only counted."""

    gone: list[str]
    count: int
    at_ms: int
    cursor: str
    counted: int = 0


class Claim(NamedTuple):
    """Whose a session is, for the names of a room. `user` is the id of a verified user, empty for a guest, None where
    tokens do not count. `is_named`: the token itself fixes the name, so nobody is asked whether it may have it."""

    user: str | None = None
    is_named: bool = False


UNCLAIMED = Claim()


class User(NamedTuple):
    """A user who has shown a token, and the name under which it is in a room."""

    user: str
    username: str


SWEEP_MAX = 100
"""Sessions that one script takes out: under half a millisecond, in which everybody waits."""

NOT_ALLOWED = -3
"""What the script answers where moderators do not let somebody in."""

NAME_TAKEN = -2
"""What the script answers to a join under a name that another user holds."""

AS_USER = "\x1f"
"""With which the fields of the verified hash begin that are no skeletons; no name has it."""

SAME_CURSOR = "again"
"""What the script answers instead of the cursor 0, which would mean that all is done."""


class Presence:
    """Joins, leaves and sweeps of rooms; calls raise a StoreError when the store does not do it."""

    def __init__(self, store: CommandStore, worker: str, events: PresenceEvents | None = None) -> None:
        """`events` is told who came and went by what this worker did, where somebody wants to know."""
        self._store = store
        self._worker = worker
        self._events = events

    def enter(
        self,
        room: str,
        session: str,
        username: str,
        on_result: Callable[[Change | StoreError], None],
        who: Claim = UNCLAIMED,
        users_max: int = 0,
    ) -> None:
        """Puts a session into a room; `on_result` gets what that did, NameTaken if another user holds the name. A
        session that is there already is refreshed, and not announced. On one server, what is submitted for the room
        afterwards is answered afterwards. Where `users_max` users are there, no other comes in; 0 is no limit. Whom
        moderators do not let in is the error Moderated."""
        claim = () if who.user is None or who.is_named else (who.user, *skeletons(username))
        subject = subject_of(who.user or "", username)
        key, command = self._join_command(room, session, username, who.user, claim, users_max, subject)

        def answered(reply: Reply) -> None:
            result = reply if isinstance(reply, StoreError) else change_of(reply)
            if isinstance(result, Change):
                self._tell(room, username, True, result)
            on_result(result)

        self._store.submit(key, command, answered)

    async def join_all(
        self, memberships: Sequence[tuple[str, str, str, str | None]]
    ) -> list[Change | StoreError]:
        """Puts many sessions back into rooms (room, session, username, user); returns what that did to each. Who was in
        is not asked again whether it may have its name."""
        replies = await all_replies(self._store, [self._join_command(*one) for one in memberships])
        results = [reply if isinstance(reply, StoreError) else _change(reply) for reply in replies]
        for (room, _, username, _), result in zip(memberships, results, strict=True):
            if isinstance(result, Change):
                self._tell(room, username, True, result)
        return results

    def _tell(self, room: str, username: str, is_here: bool, change: Change) -> None:
        if self._events is not None and change.is_announced:
            self._events.on_presence(room, username, is_here, change.count)

    def _join_command(
        self,
        room: str,
        session: str,
        username: str,
        user: str | None = None,
        claim: tuple[str, ...] = (),
        users_max: int = 0,
        subject: str = "",
    ) -> tuple[bytes, bytes]:
        """With its first key; without a `subject` moderators are not asked."""
        member: dict[str, Any] = {"username": username, "since": int(time.time() * 1000)}
        names: tuple[bytes, ...] = (keys.members(room, self._worker), keys.users(room), keys.moderated(room))
        if user is not None:
            names += (keys.verified(room),)
        if user:
            member |= {"user": user, "looks": [*skeletons(username), _as_user(user, username)]}
        command = PRESENCE_JOIN.command(
            names, session, orjson.dumps(member), username, users_max, subject, *claim
        )
        return names[0], command

    async def join(self, room: str, session: str, username: str, user: str | None = None) -> Change:
        """The same as `enter`, waited for."""
        answer: asyncio.Future[Change] = asyncio.get_running_loop().create_future()
        self.enter(room, session, username, settle(answer), Claim(user))
        return await answer

    async def holders(self, room: str, username: str) -> set[str]:
        """The ids of users in a room who hold a name that looks like this one."""
        key = keys.verified(room)
        held = await self._store.call(key, "HMGET", key, *skeletons(username))
        return {one.partition(b" ")[2].decode() for one in held if one is not None}

    async def leave(self, room: str, session: str, username: str = "") -> Change:
        """Takes a session out. Who wants to know of it is told the username."""
        names = (keys.members(room, self._worker), keys.users(room), keys.verified(room))
        change = _change(await self._store.run(PRESENCE_LEAVE, names, session))
        self._tell(room, username, False, change)
        return change

    async def away(self, room: str, session: str) -> None:
        """Marks a session whose connection dropped."""
        await self._store.run(
            PRESENCE_AWAY, (keys.members(room, self._worker),), session, int(time.time() * 1000)
        )

    async def sweep(self, room: str, worker: str, cursor: str = "0", is_older: bool = False) -> Swept:
        """Takes out up to `SWEEP_MAX` sessions of a dead worker; `is_older` if it was a gateway before 0.1."""
        (swept,) = await self.sweep_all([(room, cursor)], worker, is_older)
        if isinstance(swept, StoreError):
            raise swept
        return swept

    async def sweep_all(
        self, rooms: Sequence[tuple[str, str]], worker: str, is_older: bool = False
    ) -> list[Swept | StoreError]:
        """The same for many rooms, each with its cursor; returns what that did in each."""
        commands = []
        for room, cursor in rooms:
            members = keys.older_members(room) if is_older else keys.members(room, worker)
            whose, names = worker if is_older else "", (members, keys.users(room), keys.verified(room))
            arguments = (whose, cursor.removeprefix(SAME_CURSOR) or "0", SWEEP_MAX)
            commands.append(
                (members, PRESENCE_SWEEP.command((*names, keys.counts(room)), *arguments, worker))
            )
        replies = await all_replies(self._store, commands)
        results = [reply if isinstance(reply, StoreError) else _swept(reply) for reply in replies]
        for (room, _), swept in zip(rooms, results, strict=True):
            if isinstance(swept, Swept):
                for place, username in enumerate(swept.gone, 1):
                    count = swept.count + len(swept.gone) - place
                    self._tell(room, username, False, Change(True, count, swept.at_ms))
                if swept.counted:
                    self._tell(room, "", False, Change(True, swept.count, swept.at_ms))
        return results

    async def has_user(self, room: str, username: str) -> bool:
        """Whether a user is in a room, with whatever session; one whose connection dropped is, for the grace period."""
        key = keys.users(room)
        return bool(await self._store.call(key, "HEXISTS", key, username))

    async def members(self, room: str, most: int) -> tuple[list[str], int]:
        """Up to `most` usernames of a room, and how many users it has. Sessions that are only counted have no name."""
        reply = await self._store.run(MEMBERS, (keys.users(room), keys.counts(room)), most)
        return [name.decode() for name in reply[0]], reply[1]

    async def identified(self, room: str, most: int) -> list[User]:
        """Up to `most` of the users of a room who have shown a token, each with the names that it goes by there."""
        if not most:
            return []
        reply = await self._store.run(IDENTIFIED, (keys.verified(room),), most, AS_USER)
        pairs = zip(reply[::2], reply[1::2], strict=True)
        return list(dict.fromkeys(_user(field.decode(), held.decode()) for field, held in pairs))


def _as_user(user: str, username: str) -> str:
    """A field of the verified hash that says under which name a user is there: beside the skeletons of names, which
    have no such character. It is held and let go as they are, by workers that do not know what it says, too."""
    return f"{AS_USER}{username}{AS_USER}{user}"


def _user(field: str, held: str) -> User:
    return User(held.partition(" ")[2], field.split(AS_USER, 2)[1])


def change_of(reply: Reply) -> Change | StoreError:
    """What presence_join.lua and count_join.lua answer."""
    if reply[0] == NOT_ALLOWED:
        return Moderated(reply[1].decode(), int(reply[2]))
    return NameTaken() if reply[0] == NAME_TAKEN else _change(reply)


def _change(reply: Reply) -> Change:
    return Change(reply[0] == 1, reply[1], _ms(reply[2]), reply[0] == -1, reply[3:] == [1])


def _swept(reply: Reply) -> Swept:
    gone, cursor = [name.decode() for name in reply[0]], reply[2].decode()
    return Swept(gone, reply[1], _ms(reply[3]), "" if cursor == "0" else cursor, reply[4])


def _ms(time: Reply) -> int:
    """Milliseconds since 1970 of what TIME answers."""
    return int(time[0]) * 1000 + int(time[1]) // 1000
