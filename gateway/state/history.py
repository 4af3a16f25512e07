"""A room's stored messages and their positions.

Owns reading the history and numbering what it returns. Writing is `delivery/publisher.py`'s, by the publish script.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from gateway import keys
from gateway.interfaces import CommandStore
from gateway.protocol import Position
from gateway.state.scripts import SNAPSHOT

NO_POSITION = Position("", 0)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A room at one moment: its position and its last entries, oldest first, as stored.

    `has_begun` says that the store had lost something of the room, and that its epoch began with this reading.
    """

    epoch: str
    seq: int
    entries: Sequence[bytes]
    has_begun: bool = False

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
        first = max(0, seq + 1 - self.oldest_seq)
        return [(self.oldest_seq + place, self.entries[place]) for place in range(first, len(self.entries))]

    def holds_all_after(self, seq: int) -> bool:
        """Whether nothing between `seq` and the oldest entry has been trimmed."""
        return self.oldest_seq - 1 <= seq <= self.seq

    def entry_at(self, seq: int) -> bytes | None:
        """The entry with that seq, if it is still there."""
        place = seq - self.oldest_seq
        return self.entries[place] if 0 <= place < len(self.entries) else None


OTHER = b"other"
"""The doubt of a worker that has seen other messages than the store has in the same places."""


def new_epoch() -> str:
    """A name for an epoch that no room has had: 40 random bits."""
    return secrets.token_hex(5)


class Histories:
    """Reads snapshots of rooms."""

    def __init__(self, store: CommandStore, position_ttl_s: int) -> None:
        self._store = store
        self._position_ttl_s = position_ttl_s

    def server(self, key: bytes) -> str:
        """Which server process holds a key; empty while there is no connection to it."""
        return self._store.server(key)

    async def snapshot(self, room: str, seen: Position = NO_POSITION, doubt: bytes = b"") -> Snapshot:
        """Reads a room's position and entries in one step; raises a StoreError when that fails.

        `seen` is a position that the caller knows to have existed: a store that is behind it has lost data, and
        the room gets a new epoch in the same step. `doubt` is OTHER, or the
        ms since that was seen, at the latest, on another server, or both, or nothing (see snapshot.lua).
        """
        reply = await self._store.run(
            SNAPSHOT,
            (keys.history(room), keys.meta(room)),
            new_epoch(),
            self._position_ttl_s,
            seen.epoch,
            seen.seq,
            doubt,
        )
        return Snapshot(reply[0].decode(), int(reply[1]), reply[2], bool(reply[3]))
