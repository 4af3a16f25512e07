"""Which workers live, and in which rooms each has sessions.

Owns the heartbeats, and for each worker the set of rooms by which others clean up after it when it is dead. All times
are Redis' own: a host whose clock is wrong is neither presumed dead nor alive for ever.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway import keys
from gateway.interfaces import CommandStore, Reply
from gateway.redis.connection import pack
from gateway.state.scripts import WORKER_BEAT, WORKERS_DEAD


class Workers:
    """This worker's entry among the others; calls raise a StoreError when the store does not do it."""

    def __init__(self, store: CommandStore, worker: str, dead_after_s: float) -> None:
        self._store = store
        self._dead_after_s = dead_after_s
        self.worker = worker

    async def beat(self) -> bool:
        """Says that this worker lives. Returns whether it was not known: it is new, or it was presumed dead and has
        been cleaned up after."""
        return bool(await self._store.run(WORKER_BEAT, (keys.WORKERS,), self.worker, 0))

    async def depart(self, sweep_in_s: float) -> None:
        """Makes this worker's heartbeat old enough that it counts as dead in `sweep_in_s`, or in `dead_after_s` if that
        is sooner."""
        age_s = max(0.0, self._dead_after_s - sweep_in_s)
        await self._store.run(WORKER_BEAT, (keys.WORKERS,), self.worker, f"{age_s:.3f}")

    async def dead(self) -> list[str]:
        """Workers whose last heartbeat is older than `dead_after_s`."""
        reply = await self._store.run(WORKERS_DEAD, (keys.WORKERS,), f"{self._dead_after_s:.3f}")
        return [name.decode() for name in reply]

    async def forget(self, worker: str) -> None:
        """Forgets a worker that has been cleaned up after: first its rooms, then its heartbeat.

        A worker that lives after all learns of the clean-up when its heartbeat is new to the store. It then puts
        everything back. Were the heartbeat removed before the rooms, what it puts back could be removed after that.
        """
        await self._store.call(keys.worker_rooms(worker), "DEL", keys.worker_rooms(worker))
        await self._store.call(keys.WORKERS, "ZREM", keys.WORKERS, worker)

    async def rooms_of(self, worker: str) -> list[str]:
        """The rooms in which a worker had sessions."""
        key = keys.worker_rooms(worker)
        return [room.decode() for room in await self._store.call(key, "SMEMBERS", key)]

    async def enter(self, room: str) -> None:
        """Notes that this worker has sessions in a room."""
        key = keys.worker_rooms(self.worker)
        await self._store.call(key, "SADD", key, room.encode())

    def will_enter(self, room: str, on_result: Callable[[Reply], None]) -> None:
        """The same without waiting, to be called before a session is put into the room.

        One server does both in this order, so that no session is in a room that the clean-up does not look at. On a
        Cluster the two go to different nodes: a worker that dies between them may leave a session behind.
        """
        key = keys.worker_rooms(self.worker)
        self._store.submit(key, pack(b"SADD", key, room.encode()), on_result)

    async def quit(self, room: str, worker: str | None = None) -> None:
        """Notes that a worker (this one if none is named) has no sessions in a room any more."""
        key = keys.worker_rooms(worker or self.worker)
        await self._store.call(key, "SREM", key, room.encode())
