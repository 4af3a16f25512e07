"""The position check: what to do with what Redis says. Functions of values, without I/O.

Two questions are decided here: does a live message follow the last one, and what of a snapshot has a reader missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from gateway.errors import StoreError
from gateway.protocol import Position, receive_json
from gateway.state.history import Snapshot


class Arrival(Enum):
    """How a live message stands to what has been delivered."""

    NEXT = "next"
    SEEN = "already seen"
    HOLE = "something between is missing, or the epoch is another"


def judge(last: Position, epoch: str, seq: int) -> Arrival:
    """Where a live message stands after the last delivered position."""
    if epoch != last.epoch or seq > last.seq + 1:
        return Arrival.HOLE
    return Arrival.NEXT if seq == last.seq + 1 else Arrival.SEEN


@dataclass(frozen=True, slots=True)
class Missed:
    """What a reader at some position must get from a snapshot: (seq, entry), oldest first.

    `is_gap` says that something between is gone: then the entries are all that is left, and `trusted` is the last
    position that the reader shares with the snapshot, if one is known.
    """

    entries: Sequence[tuple[int, bytes]]
    is_gap: bool
    trusted: Position | None = None
    is_trimmed: bool = False

    @property
    def cause(self) -> str:
        """Of a gap: the room keeps fewer messages than the reader missed, or the store lost some."""
        return "trimmed" if self.is_trimmed else "lost"


def missed(last: Position, snapshot: Snapshot) -> Missed:
    """Compares a reader's position with a snapshot that was read after it."""
    if last.epoch != snapshot.epoch:
        return Missed(snapshot.after(0), True, last)
    if last.seq > snapshot.seq:
        return Missed(snapshot.after(0), True, snapshot.position)
    if not snapshot.holds_all_after(last.seq):
        return Missed(snapshot.after(0), True, last, is_trimmed=True)
    return Missed(snapshot.after(last.seq), False)


@dataclass(frozen=True, slots=True)
class Observation:
    """A message that is known to have been at a position; `data` is None where only the position is known."""

    position: Position
    data: bytes | None = None

    def is_contradicted(self, snapshot: Snapshot, room_json: bytes) -> bool:
        """Whether the snapshot has another message in this place: the store lost data and numbered on, which the
        position alone does not show. `data` is what the channel brought. Its three stored fields are compared, and none
        where the message was changed afterwards: it was the same one."""
        if (
            self.data is None
            or self.position.epoch != snapshot.epoch
            or self.position.seq in snapshot.changes
        ):
            return False
        stored = snapshot.entry_at(self.position.seq)
        return stored is not None and not self.data.startswith(
            receive_json(stored, room_json, self.position)[:-1]
        )

    def is_trimmed(self, snapshot: Snapshot) -> bool:
        """Whether this place has been trimmed from the snapshot, so that nobody can say what was in it."""
        first = max(1, snapshot.from_seq)  # what is older was not read
        return self.position.epoch == snapshot.epoch and first <= self.position.seq < snapshot.oldest_seq


def since(position: Position | None, snapshot: Snapshot) -> tuple[Sequence[tuple[int, bytes]], bool | None]:
    """What a joining member gets: entries, and whether `since` could be honoured (None if it was not asked)."""
    if position is None:
        return snapshot.after(0), None
    found = missed(position, snapshot)
    return found.entries, not found.is_gap


def is_ahead(position: Position | None, snapshot: Snapshot | StoreError) -> bool:
    """Whether a reader has seen more than a snapshot holds: it was read before, or the store went back."""
    if position is None or not isinstance(snapshot, Snapshot):
        return False
    return position.epoch == snapshot.epoch and position.seq > snapshot.seq
