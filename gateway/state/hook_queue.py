"""What webhooks must still be told, as Redis holds it: marks, leases, and what is pending for each webhook.

1. Who makes something happen in a room leaves a mark, in the room's sixteenth of all rooms (`part_of`).
2. One worker at a time holds the lease of a sixteenth. It moves marks to what is pending for each webhook.
3. What a webhook was told is taken away again.

A mark says where to look, not what happened: the room itself says that when it is looked at. So a mark can be left
twice, or for nothing. All keys of a sixteenth lie in one slot, and nothing is written but under the lease.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from gateway import keys
from gateway.errors import StoreError
from gateway.interfaces import CommandStore, Reply
from gateway.redis.connection import pack
from gateway.state.batches import all_replies
from gateway.state.scripts import HOOK_DONE, HOOK_LEASE, HOOK_MOVE, HOOK_WORKERS

PARTS = 16
"""Leases. A worker of several holds several; more workers than that leave some without any."""

KEPT_S = 7 * 24 * 3600
"""How long keys are kept that no holder of a lease looks after any more: webhooks were taken out of the file."""

MOVED_AT_ONCE = 100
"""Marks that one script moves: a fifth of a millisecond."""

MESSAGES, OCCUPIED, MEMBER = "m", "r", "u"
"""What a mark is about: the messages of a room, whether somebody is in it, or whether one user is."""


class Mark(NamedTuple):
    """Where something has happened. `username` where it is about one user."""

    kind: str
    room: str
    username: str = ""

    @property
    def name(self) -> bytes:
        """As Redis holds it. No name of a room or user has control characters."""
        return f"{self.kind}{self.room}\n{self.username}".encode()

    @property
    def part(self) -> int:
        """Whose lease it falls under."""
        return part_of(self.room)

    @classmethod
    def read(cls, name: bytes) -> Mark | None:
        """The mark of that name; None if it is none of ours."""
        text = name.decode(errors="replace")
        kind, (room, _, username) = text[:1], text[1:].partition("\n")
        return cls(kind, room, username) if room and kind in (MESSAGES, OCCUPIED, MEMBER) else None


Prepared = tuple[bytes, bytes]
"""A mark as a packed command, with its key: the same each time, so that it is made once for many."""


def prepared(mark: Mark) -> Prepared:
    """What leaves a mark."""
    key = keys.hook_marks(mark.part)
    return key, pack(b"SADD", key, mark.name)


class Move(NamedTuple):
    """A mark, and the places of the webhooks that are to be told."""

    name: bytes
    hooks: tuple[int, ...]


def part_of(room: str) -> int:
    """Which sixteenth a room is in."""
    return zlib.crc32(room.encode()) % PARTS


class HookQueue:
    """Marks, leases and what is pending; calls raise a StoreError when the store does not do it."""

    def __init__(self, store: CommandStore, worker: str, hooks: Sequence[str]) -> None:
        """`hooks` are the names of the webhooks; their places are what `Move` names."""
        self._store = store
        self._worker = worker
        self._hooks = hooks

    # -- by everybody

    def mark(self, key: bytes, command: bytes, on_result: Callable[[Reply], None]) -> None:
        """Leaves a mark (`prepared`), without waiting. On one server it is there before what is submitted afterwards is
        done."""
        self._store.submit(key, command, on_result)

    async def mark_all(self, marks: Sequence[Mark]) -> None:
        """Leaves many."""
        _raise_first(await all_replies(self._store, [prepared(mark) for mark in marks]))

    async def known_since_ms(self) -> list[int]:
        """When each webhook became known, by the store's clock; now, where it was not."""
        key = keys.HOOKS_SINCE
        seconds, microseconds = await self._store.call(key, "TIME")
        now_ms = int(seconds) * 1000 + int(microseconds) // 1000
        for hook in self._hooks:
            await self._store.call(key, "HSETNX", key, hook, now_ms)
        return [int(found) for found in await self._store.call(key, "HMGET", key, *self._hooks)]

    # -- leases

    async def workers(self, counts_s: int, goes: bool = False) -> int:
        """Says that this worker can post, or no longer; returns how many can. A word counts for `counts_s`."""
        arguments = (self._worker, counts_s, "1" if goes else "")
        return int(await self._store.run(HOOK_WORKERS, (keys.HOOK_WORKERS,), *arguments))

    async def lease(self, part: int, for_s: float, above: int = 0) -> int:
        """Takes or keeps a lease for that long; returns its fence, higher than `above`, or 0 if another holds it."""
        names = (
            keys.hook_lease(part),
            keys.hook_marks(part),
            keys.hook_occupied(part),
            *(keys.hook_pending(part, hook) for hook in self._hooks),
        )
        return int(await self._store.run(HOOK_LEASE, names, self._worker, round(for_s * 1000), above, KEPT_S))

    async def give_back(self, part: int) -> None:
        """Another worker can take the lease at once."""
        await self._store.run(HOOK_LEASE, (keys.hook_lease(part),), self._worker, 0, 0, KEPT_S)

    # -- under a lease

    async def marks(self, parts: Sequence[int]) -> list[list[bytes]]:
        """Marks of some sixteenths, any `MOVED_AT_ONCE` of each where there are more."""
        commands = []
        for part in parts:
            key = keys.hook_marks(part)
            commands.append((key, pack(b"SRANDMEMBER", key, MOVED_AT_ONCE)))
        replies = await all_replies(self._store, commands)
        _raise_first(replies)
        return replies

    async def move(self, part: int, fence: int, moves: Sequence[Move]) -> bool:
        """Hands marks, `MOVED_AT_ONCE` at most, over to webhooks; returns whether the lease is still this worker's."""
        used = sorted({hook for move in moves for hook in move.hooks})
        places = {hook: place for place, hook in enumerate(used, 1)}
        names = (
            keys.hook_lease(part), keys.hook_marks(part),
            *(keys.hook_pending(part, self._hooks[hook]) for hook in used),
        )  # fmt: skip
        handed: list[bytes | int] = []
        for move in moves:
            for hook in move.hooks:
                handed += [places[hook], move.name]
        arguments = (fence, len(moves), *(move.name for move in moves), *handed)
        return bool(await self._store.run(HOOK_MOVE, names, *arguments))

    async def done(self, part: int, fence: int, hook: str, names: Sequence[bytes]) -> None:
        """A webhook was told what these marks were about."""
        both = (keys.hook_lease(part), keys.hook_pending(part, hook))
        await self._store.run(HOOK_DONE, both, fence, *names)

    async def pending(self, part: int, hook: str, most: int) -> list[tuple[bytes, float]]:
        """What a webhook must still be told, the oldest first, and since when (s since 1970)."""
        key = keys.hook_pending(part, hook)
        found = await self._store.call(key, "ZRANGE", key, 0, most - 1, "WITHSCORES")
        return [(name, float(since)) for name, since in zip(found[::2], found[1::2], strict=True)]

    async def pending_count(self, part: int, hook: str) -> int:
        """How much that is."""
        key = keys.hook_pending(part, hook)
        return int(await self._store.call(key, "ZCARD", key))

    # -- rooms in which somebody is

    async def note_occupied(self, room: str, is_occupied: bool) -> None:
        """Keeps the list of rooms in which somebody is, by what webhooks are told."""
        key = keys.hook_occupied(part_of(room))
        await self._store.call(key, "SADD" if is_occupied else "SREM", key, room)

    async def occupied(self, part: int, cursor: bytes, about: int) -> tuple[bytes, list[str]]:
        """A piece of that list, and the cursor to go on from; `0` begins, and is the end."""
        key = keys.hook_occupied(part)
        following, rooms = await self._store.call(key, "SSCAN", key, cursor, "COUNT", about)
        return following, [room.decode(errors="replace") for room in rooms]


def _raise_first(replies: Sequence[Reply]) -> None:
    for reply in replies:
        if isinstance(reply, StoreError):
            raise reply
