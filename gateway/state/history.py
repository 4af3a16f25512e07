"""A room's stored messages and their positions.

Owns reading the history and numbering what it returns. `rooms/publisher.py` writes it, by the publish
script.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog

from gateway import keys
from gateway.errors import StoreError
from gateway.interfaces import CommandStore, Reply
from gateway.protocol import Position, readable_entry
from gateway.redis.connection import pack
from gateway.state.batches import all_replies
from gateway.state.keeping import RoomKeeping
from gateway.state.more import NO_MORE, Change, More, changes_of, more_of
from gateway.state.scripts import SNAPSHOT

log = structlog.get_logger("gateway.state")

NO_POSITION = Position("", 0)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A room at one moment: its position and its last entries, oldest first, as stored but each readable.

    `has_begun` says that Redis had lost something of the room, and that its epoch began with this reading. Entries
    before `from_seq` were not read. `is_new`: there was no such room before. `more` and `changes` tell, by seq, what is
    known of entries beside their three fields, and how they were changed.
    """

    epoch: str
    seq: int
    entries: Sequence[bytes]
    has_begun: bool = False
    from_seq: int = 0
    is_new: bool = False
    more: More = field(default_factory=lambda: NO_MORE)
    changes: Mapping[int, Change] = field(default_factory=dict)

    @property
    def position(self) -> Position:
        """The position of the newest message, stored or long trimmed."""
        return Position(self.epoch, self.seq)

    @property
    def oldest_seq(self) -> int:
        """The seq of the first entry; one more than `seq` when there is none."""
        return self.seq - len(self.entries) + 1

    def after(self, seq: int) -> list[tuple[int, bytes]]:
        """The entries newer than `seq`, with their own."""
        oldest_seq = self.oldest_seq
        first = max(0, seq + 1 - oldest_seq)
        return list(enumerate(self.entries[first:], oldest_seq + first))

    def holds_all_after(self, seq: int) -> bool:
        """Whether nothing between `seq` and the oldest entry has been trimmed."""
        return self.oldest_seq - 1 <= seq <= self.seq

    def covers(self, position: Position | None) -> bool:
        """Whether all was read that a reader lacks who has all up to there; None has nothing."""
        needed = position.seq + 1 if position is not None and position.epoch == self.epoch else 0
        return self.from_seq <= needed

    def entry_at(self, seq: int) -> bytes | None:
        """The entry with that seq, if it is still there."""
        place = seq - self.oldest_seq
        return self.entries[place] if 0 <= place < len(self.entries) else None


class Observed(NamedTuple):
    """What a worker knows to have been in a room, and why Redis may not hold it (see scripts/epoch.lua).

    `position` is the highest one that is known to have existed in its epoch. `is_contradicted`: in places that Redis
    still shows, the worker has seen other messages. `age_ms`: the worker saw that position on another server, at least
    so many milliseconds ago; None if it saw it on this one.
    """

    position: Position
    is_contradicted: bool = False
    age_ms: int | None = None

    @property
    def is_suspicious(self) -> bool:
        """Whether Redis must be asked before what it says is believed."""
        return self.is_contradicted or self.age_ms is not None

    def arguments(self) -> tuple[bytes, bytes, bytes, bytes]:
        """What scripts take: epoch, seq, '1' if contradicted, age in ms; the last two may be empty."""
        (epoch, seq), is_contradicted, age_ms = self
        return (
            epoch.encode(),
            b"%d" % seq,
            b"1" if is_contradicted else b"",
            b"" if age_ms is None else b"%d" % age_ms,
        )


class Place(NamedTuple):
    """Where a room is in Redis: its epoch, the seq of its newest message, when that came (ms; empty if it is not
    known), and whether any message was changed."""

    epoch: bytes
    seq: int
    last_ms: bytes
    is_changed: bool


OnPlace = Callable[[Place | None], None]
"""Takes where a room is; None if Redis did not say."""

ROOMS_TOLD_MAX = 1000
"""Of so many rooms it is logged, once each, that others write their histories."""

NOTHING = Observed(NO_POSITION)
"""Of a worker that has seen nothing of a room."""


def new_epoch() -> str:
    """A name for an epoch that no room has had: 40 random bits."""
    return secrets.token_hex(5)


class Histories:
    """Reads snapshots of rooms."""

    def __init__(
        self,
        store: CommandStore,
        position_ttl_s: int,
        empty_ttl_s: int = 900,
        keeping: RoomKeeping | None = None,
    ) -> None:
        """`empty_ttl_s` is how long the position of a room is kept in which nothing was ever said. `keeping` says how
        each room is kept, and wins over `position_ttl_s`."""
        self._store = store
        self._position_ttl_s = position_ttl_s
        self.empty_ttl_s = min(empty_ttl_s, position_ttl_s)
        self._kept = keeping
        self._written_by_others: set[str] = set()  # rooms of which that was said

    def server(self, key: bytes) -> str:
        """Which server process holds a key; empty while there is no connection to it."""
        return self._store.server(key)

    def origin(self, room: str) -> str:
        """What the messages of the server that numbers a room say they come from; empty where they say nothing."""
        return self._store.origin(keys.history(room))

    async def snapshot(
        self, room: str, observed: Observed = NOTHING, wanted: Position = NO_POSITION
    ) -> Snapshot:
        """Reads a room's position and entries in one step; raises a StoreError when that fails. Entries before `wanted`
        need not be read, if the room is in that epoch.

        A Redis that does not hold what was `observed` has lost data, and the room gets a new epoch in the same step.
        """
        kept = self._kept.keeping(room) if self._kept is not None else None
        shown_max = kept.shown_max if kept is not None else None
        reply = await self._store.run(
            SNAPSHOT,
            (keys.history(room), keys.meta(room)),
            *observed.arguments(),
            new_epoch(),
            kept.position_ttl_s if kept is not None else self._position_ttl_s,
            wanted.epoch,
            wanted.seq,
            self.empty_ttl_s,
            "" if shown_max is None else shown_max,
        )
        return self._snapshot(room, *reply)

    def _snapshot(
        self, room: str, epoch: bytes, seq: bytes, stored: list[bytes], has_begun: int, from_seq: int, is_new: int,
        fields: list[bytes], last_ms: bytes,
    ) -> Snapshot:  # fmt: skip
        """The script's answer."""
        entries = [readable_entry(entry) for entry in stored]
        more = more_of(fields, int(seq) - len(entries) + 1)
        if more and entries and not entries[-1].endswith((b":%b}" % last_ms, b": %b}" % last_ms)):
            more = NO_MORE  # others write this list too: nobody knows whose message is in which place
            self._tell_of_others(room)
        return Snapshot(
            epoch.decode(), int(seq), entries, bool(has_begun), from_seq, bool(is_new), more, changes_of(more)
        )

    def _tell_of_others(self, room: str) -> None:
        if room not in self._written_by_others and len(self._written_by_others) < ROOMS_TOLD_MAX:
            self._written_by_others.add(room)
            log.warning("history_written_by_others", room=room)

    def ask_place(self, room: str, on_place: OnPlace) -> None:
        """Asks where a room is, and has its position kept for its time. Returns at once; the answer is given to
        `on_place`, exactly once. A demoted primary, whose answer would be an old one, refuses the write."""
        kept_s = self._kept.keeping(room).position_ttl_s if self._kept is not None else self._position_ttl_s
        meta, refused = keys.meta(room), list[Reply]()

        def kept(reply: Reply) -> None:
            if isinstance(reply, StoreError):
                refused.append(reply)

        def found(reply: Reply) -> None:
            on_place(None if refused or isinstance(reply, StoreError) else _place(reply))

        # Only ever for longer: the position of a room in which nothing was said keeps its shorter time by its readings.
        self._store.submit(meta, pack(b"EXPIRE", meta, kept_s, b"GT"), kept)
        self._store.submit(meta, pack(b"HMGET", meta, b"epoch", b"seq", b"last", b"more"), found)

    async def exists(self, room: str) -> bool:
        """Whether anybody has been in a room lately, or has ever said something there. Raises a StoreError."""
        key = keys.history(room)
        return bool(await self._store.call(key, "EXISTS", key, keys.meta(room)))

    async def keep_empty(self, rooms: Sequence[str]) -> None:
        """Rooms in which nothing was ever said keep their positions for their time from now on. One in which something
        was said meanwhile keeps the longer time that it has. What the store does not do is left."""
        names = [keys.meta(room) for room in rooms]
        commands = [(name, pack(b"EXPIRE", name, self.empty_ttl_s, b"GT")) for name in names]
        await all_replies(self._store, commands)


def _place(fields: list[bytes | None]) -> Place | None:
    epoch, seq, last_ms, changed = fields
    if epoch is None or seq is None:
        return None  # no such room, or one that no gateway has written
    return Place(epoch, int(seq), last_ms or b"", changed not in (None, b"0"))
