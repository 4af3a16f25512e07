"""Who is in which room, over all workers.

Owns the members (sessions) and users (names) of rooms. A user is in a room while one of its sessions is. A session
whose connection dropped counts until it is taken out, when its grace period is over. The scripts decide what is
announced, the first session of a user and the last one; the caller publishes it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import orjson

from gateway import keys
from gateway.errors import StoreError
from gateway.interfaces import CommandStore, Reply
from gateway.redis.connection import settle
from gateway.state.scripts import MEMBERS, PRESENCE_AWAY, PRESENCE_JOIN, PRESENCE_LEAVE, PRESENCE_SWEEP


@dataclass(frozen=True, slots=True)
class Change:
    """What a join or leave did: whether the user came or went with it, and how many users there are now."""

    is_announced: bool
    count: int


class Presence:
    """Joins, leaves and sweeps of rooms; calls raise a StoreError when the store does not do it."""

    def __init__(self, store: CommandStore, worker: str) -> None:
        self._store = store
        self._worker = worker

    def enter(
        self, room: str, session: str, username: str, on_result: Callable[[Change | StoreError], None]
    ) -> None:
        """Puts a session into a room; `on_result` gets what that did. A session that is there already is refreshed, and
        not announced. On one server, what is submitted for the room afterwards is answered afterwards."""
        member = {"username": username, "worker": self._worker, "since": int(time.time() * 1000)}
        names = (keys.members(room), keys.users(room))
        command = PRESENCE_JOIN.command(names, session, orjson.dumps(member), username)

        def answered(reply: Reply) -> None:
            on_result(reply if isinstance(reply, StoreError) else Change(reply[0] == 1, reply[1]))

        self._store.submit(names[0], command, answered)

    async def join(self, room: str, session: str, username: str) -> Change:
        """The same as `enter`, waited for."""
        answer: asyncio.Future[Change] = asyncio.get_running_loop().create_future()
        self.enter(room, session, username, settle(answer))
        return await answer

    async def leave(self, room: str, session: str) -> Change:
        """Takes a session out."""
        reply = await self._store.run(PRESENCE_LEAVE, (keys.members(room), keys.users(room)), session)
        return Change(reply[0] == 1, reply[1])

    async def away(self, room: str, session: str) -> None:
        """Marks a session whose connection dropped."""
        await self._store.run(PRESENCE_AWAY, (keys.members(room),), session, int(time.time() * 1000))

    async def sweep(self, room: str, worker: str) -> tuple[list[str], int]:
        """Takes out all sessions of a dead worker. Returns the users who are gone with them, and how many are left."""
        reply = await self._store.run(PRESENCE_SWEEP, (keys.members(room), keys.users(room)), worker)
        return [name.decode() for name in reply[0]], reply[1]

    async def members(self, room: str, most: int) -> tuple[list[str], int]:
        """Up to `most` usernames of a room, and how many users it has."""
        reply = await self._store.run(MEMBERS, (keys.users(room),), most)
        return [name.decode() for name in reply[0]], reply[1]
