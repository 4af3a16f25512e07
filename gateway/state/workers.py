"""Which workers live, and in which rooms each has sessions.

Owns the heartbeats, and for each worker the set of rooms by which others clean up after it when it is dead. No clock of
a host or of the store decides who lives (`liveness.py`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from gateway import keys
from gateway.interfaces import CommandStore, Reply
from gateway.redis.connection import pack
from gateway.state.liveness import Liveness, departure
from gateway.state.scripts import WORKER_BEAT


class DeadWorker(NamedTuple):
    """A worker without heartbeat. `is_older`: a gateway before 0.1, which kept its sessions elsewhere."""

    name: str
    is_older: bool = False


class Beat(NamedTuple):
    """What a heartbeat brings back.

    is_new    whether this worker was not known: it is new, or it was presumed dead and has been cleaned up after
    revoked   the version of what is revoked: empty where there is none, None where it was not found out
    """

    is_new: bool
    revoked: bytes | None


class Workers:
    """This worker's entry among the others; calls raise a StoreError when the store does not do it."""

    def __init__(self, store: CommandStore, worker: str, dead_after_s: float) -> None:
        self._store = store
        self._liveness = Liveness(dead_after_s)
        self._older = Liveness(dead_after_s)
        self.worker = worker

    async def beat(self) -> Beat:
        """Says that this worker lives."""
        if not self._store.has_slots:
            reply = await self._store.run(WORKER_BEAT, (keys.WORKERS, keys.REVOKED_VERSION), self.worker)
            return Beat(bool(reply[0]), reply[1])
        beaten = self._store.run(WORKER_BEAT, (keys.WORKERS,), self.worker)
        version = self._store.call(keys.REVOKED_VERSION, "GET", keys.REVOKED_VERSION)
        await asyncio.wait([beaten, version])
        # Another server may hold the version: when that one is away, this worker lives all the same.
        revoked = None if version.exception() is not None else version.result() or b""
        return Beat(bool(beaten.result()[0]), revoked)

    async def depart(self, sweep_in_s: float) -> None:
        """Says good-bye: this worker counts as dead once others have seen that for `sweep_in_s`, or for `dead_after_s`
        if that is sooner."""
        stamp = f"{departure(sweep_in_s):.3f}"
        await self._store.call(keys.WORKERS, "ZADD", keys.WORKERS, stamp, self.worker)

    async def dead(self) -> list[DeadWorker]:
        """Looks at the heartbeats, to be called regularly: workers whose own has not changed for `dead_after_s`."""
        dead = self._liveness.look(await self._stamps(keys.WORKERS), time.monotonic())
        older = self._older.look(await self._stamps(keys.OLDER_WORKERS), time.monotonic())
        return [*map(DeadWorker, dead), *(DeadWorker(name, is_older=True) for name in older)]

    async def _stamps(self, key: bytes) -> dict[str, float]:
        """What somebody else's hand wrote there under another kind of name is no worker."""
        found = await self._store.call(key, "ZRANGE", key, 0, -1, "WITHSCORES")
        pairs = zip(found[::2], found[1::2], strict=True)
        return {name.decode(): float(stamp) for name, stamp in pairs if name.isascii()}

    async def forget(self, worker: str) -> None:
        """Forgets a worker that has been cleaned up after: first its rooms, then its heartbeat.

        A worker that lives after all learns of the clean-up when its heartbeat is new to the store. It then puts
        everything back. Were the heartbeat removed before the rooms, what it puts back could be removed after that.
        """
        await self._store.call(keys.worker_rooms(worker), "DEL", keys.worker_rooms(worker))
        for registry in (keys.WORKERS, keys.OLDER_WORKERS):
            await self._store.call(registry, "ZREM", registry, worker)

    async def rooms_of(self, worker: str) -> list[str]:
        """The rooms in which a worker had sessions."""
        key = keys.worker_rooms(worker)
        return [room.decode() for room in await self._store.call(key, "SMEMBERS", key)]

    async def enter(self, rooms: Sequence[str]) -> None:
        """Notes that this worker has sessions in these rooms."""
        key = keys.worker_rooms(self.worker)
        await self._store.call(key, "SADD", key, *(room.encode() for room in rooms))

    def will_enter(self, room: str, on_result: Callable[[Reply], None]) -> None:
        """The same without waiting, to be called before a session is put into the room.

        One server does both in this order, so that no session is in a room that the clean-up does not look at. On a
        Cluster the two go to different nodes: a worker that dies between them may leave a session behind.
        """
        key = keys.worker_rooms(self.worker)
        self._store.submit(key, pack(b"SADD", key, room.encode()), on_result)

    async def quit(self, rooms: Sequence[str], worker: str | None = None) -> None:
        """Notes that a worker (this one if none is named) has no sessions in these rooms any more."""
        if not rooms:
            return
        key = keys.worker_rooms(worker or self.worker)
        await self._store.call(key, "SREM", key, *(room.encode() for room in rooms))
