"""Who and what there is, over all workers: rooms in which somebody is, and the workers themselves.

Owns reading it together from what each worker keeps: its heartbeat, the set of its rooms, and a short note of its
state. There is no index of rooms beside those sets. Nothing is read in one large piece: sets come by `SSCAN`, `PIECE`
at a time, so that Redis serves others in between. All calls raise a StoreError when the store does not answer.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator
from typing import NamedTuple

import orjson

from gateway import keys
from gateway.interfaces import CommandStore, Reply
from gateway.protocol import Position
from gateway.state.people import people_in

PIECE = 1000
"""Rooms that one command reads: some 0.2 ms of Redis."""


class RoomFacts(NamedTuple):
    """A room: its position (None if it has none), how many users are in it, and which workers have sessions there."""

    position: Position | None
    users: int
    workers: list[str]


class Page(NamedTuple):
    """Some rooms in the order of their names, each with the number of its users, and where the next page begins; None
    after the last one."""

    counts: dict[str, int]
    cursor: str | None


class WorkerState(NamedTuple):
    """What a worker says of itself: `ready`, `not_ready` or `draining`; `unknown` if it says nothing, as a worker
    without the server API does."""

    state: str = "unknown"
    connections: int | None = None
    rooms: int | None = None


class Census:
    """Reads over all workers."""

    def __init__(self, store: CommandStore, dead_after_s: float) -> None:
        """A worker without a heartbeat for `dead_after_s` counts as dead, by the store's own clock."""
        self._store = store
        self._dead_after_s = dead_after_s

    async def living(self) -> list[str]:
        """The ids of the workers that live, and of those that depart and still have sessions."""
        registries = (keys.WORKERS, keys.OLDER_WORKERS)
        asked = [self._store.call(key, "ZRANGE", key, 0, -1, "WITHSCORES") for key in registries]
        (seconds, _), *found = await asyncio.gather(self._store.call(keys.WORKERS, "TIME"), *asked)
        oldest_s = int(seconds) - self._dead_after_s
        pairs = [pair for flat in found for pair in zip(flat[::2], flat[1::2], strict=True)]
        return sorted(
            name.decode()
            for name, stamp in pairs
            if name.isascii() and (float(stamp) < 0 or float(stamp) >= oldest_s)
        )

    # -- rooms

    async def rooms(self, prefix: str, after: str, most: int) -> Page:
        """Up to `most` rooms whose names begin with `prefix` and come after `after`. All names are looked at for each
        page, but only those of one page are kept. Rooms that everybody has just left are not among them."""
        found: set[str] = set()
        last = ""  # no later one is on this page; empty while that is not known
        async for piece in self._names(prefix):
            found.update(name for name in piece if name > after and (not last or name < last))
            if len(found) > 4 * most:
                smallest = heapq.nsmallest(most + 1, found)
                found, last = set(smallest), smallest[-1]
        names = heapq.nsmallest(most + 1, found)
        cursor = names[most - 1] if len(names) > most else None
        return Page(await self._occupied(names[:most]), cursor)

    async def count_rooms(self) -> int:
        """In how many rooms some worker has sessions."""
        found: set[str] = set()
        async for piece in self._names(""):
            found.update(piece)
        return len(found)

    async def _names(self, prefix: str) -> AsyncIterator[list[str]]:
        for worker in await self.living():
            key, cursor = keys.worker_rooms(worker), b"0"
            pattern = ("MATCH", _escaped(prefix) + "*") if prefix else ()
            while True:
                cursor, names = await self._store.call(key, "SSCAN", key, cursor, *pattern, "COUNT", PIECE)
                yield [name.decode() for name in names]
                if cursor == b"0":
                    break

    async def _occupied(self, names: list[str]) -> dict[str, int]:
        counts = await people_in(self._store, names)
        return {name: count for name, count in zip(names, counts, strict=True) if count}

    async def room(self, name: str) -> RoomFacts:
        """What there is to know of one room; it is not made by asking."""
        meta = keys.meta(name)
        workers, (epoch, seq), (count,) = await asyncio.gather(
            self.living(),
            self._store.call(meta, "HMGET", meta, "epoch", "seq"),
            people_in(self._store, [name]),
        )
        asked = [keys.worker_rooms(worker) for worker in workers]
        is_in = await asyncio.gather(
            *(self._store.call(key, "SISMEMBER", key, name.encode()) for key in asked)
        )
        position = None if epoch is None or seq is None else Position(epoch.decode(), int(seq))
        return RoomFacts(
            position, count, [worker for worker, here in zip(workers, is_in, strict=True) if here]
        )

    # -- workers

    async def note(self, worker: str, state: WorkerState) -> None:
        """Leaves what a worker says of itself, for as long as its heartbeat counts."""
        key, keep_ms = keys.worker_state(worker), round(self._dead_after_s * 1000)
        await self._store.call(key, "SET", key, orjson.dumps(tuple(state)), "PX", keep_ms)

    async def states(self) -> dict[str, WorkerState]:
        """The workers that live, and what each says of itself."""
        workers = await self.living()
        asked = [keys.worker_state(worker) for worker in workers]
        notes = await asyncio.gather(*(self._store.call(key, "GET", key) for key in asked))
        return {worker: _read(note) for worker, note in zip(workers, notes, strict=True)}


def _read(note: Reply) -> WorkerState:
    """What nobody can read says nothing."""
    try:
        state, connections, rooms = orjson.loads(note or b"[]")
    except (ValueError, TypeError):
        return WorkerState()
    is_note = isinstance(state, str) and isinstance(connections, int) and isinstance(rooms, int)
    return WorkerState(state, connections, rooms) if is_note else WorkerState()


def _escaped(text: str) -> str:
    """A text as a pattern of Redis that matches it alone."""
    return "".join(f"\\{letter}" if letter in "*?[]\\^-" else letter for letter in text)
