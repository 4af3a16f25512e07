"""Which workers live, and in which rooms each has sessions.

Owns the heartbeats and the sets by which survivors clean up after a dead worker. All times are the store's own, so
that a host with a wrong clock is neither dead nor live for ever.
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
        """Says that this worker lives; returns whether it was not known: it is new, or was taken for dead and cleaned
        up after."""
        return bool(await self._store.run(WORKER_BEAT, (keys.WORKERS,), self.worker, 0))

    async def depart(self, sweep_in_s: float) -> None:
        """Ages this worker's heartbeat so that it counts as dead in `sweep_in_s`."""
        age_s = self._dead_after_s - sweep_in_s
        await self._store.run(WORKER_BEAT, (keys.WORKERS,), self.worker, f"{age_s:.3f}")

    async def dead(self) -> list[str]:
        """Workers whose last heartbeat is older than the limit, by the store's clock."""
        reply = await self._store.run(WORKERS_DEAD, (keys.WORKERS,), f"{self._dead_after_s:.3f}")
        return [name.decode() for name in reply]

    async def forget(self, worker: str) -> None:
        """Takes a worker out of the list once it has been cleaned up after; last, so that one that lives after all
        notices at its next heartbeat and puts back everything that was taken."""
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
        """The same without waiting: submitted before a session is put into the room, it is done before, on one
        primary. On a Cluster the two go to different nodes, and a worker that dies between may leave a session
        behind that nobody looks for."""
        key = keys.worker_rooms(self.worker)
        self._store.submit(key, pack(b"SADD", key, room.encode()), on_result)

    async def quit(self, room: str, worker: str | None = None) -> None:
        """Notes that a worker (this one if none is named) has none there any more."""
        key = keys.worker_rooms(worker or self.worker)
        await self._store.call(key, "SREM", key, room.encode())
