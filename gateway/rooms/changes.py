"""Messages that were changed after they were sent: members are told by the event `changed`.

A channel tells it at most once. Who missed that, because the channel was away, the member read slowly or was not
connected, is told when its room is next read: the snapshot says which of the kept messages were changed. To be told
twice does no harm. Values only.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from gateway.protocol import Position, event_packet
from gateway.state.history import Snapshot
from gateway.state.more import change_from

TOLD_MAX = 128
"""Changes of one room that are remembered: a snapshot shows at most those of 100 messages."""


class ChangeTold(NamedTuple):
    """Of which message an event `changed` tells, and when it was changed (ms)."""

    position: Position
    at_ms: int


def change_told(data: bytes) -> ChangeTold | None:
    """Reads the data of an event `changed`. None if it is malformed."""
    try:
        said: Any = orjson.loads(data)
        position, change = Position.parse(said["id"]), change_from(said)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return ChangeTold(position, change.at_ms) if change is not None else None


def changed_packet(room_json: bytes, snapshot: Snapshot, seq: int) -> bytes:
    """The `changed` packet of an entry that a snapshot shows as changed."""
    change, entry = snapshot.changes[seq], snapshot.entry_at(seq)
    message = orjson.loads(entry).get("message", "") if entry is not None else ""
    return event_packet(
        "changed",
        b'{"room":%b,"id":"%b","kind":%b,"message":%b,"by":%b,"at":%d}'
        % (
            room_json,
            str(Position(snapshot.epoch, seq)).encode(),
            orjson.dumps(change.kind),
            orjson.dumps(message),
            orjson.dumps(change.by),
            change.at_ms,
        ),
    )


class Changes:
    """The changes that the live members of a room know.

    heard     how many the channel has told
    number    of the change that became known last; they are counted here, as clocks of servers differ
    _known    by seq, when the message was changed last (ms), and the number of that change
    """

    __slots__ = ("_known", "heard", "number")

    def __init__(self) -> None:
        self.heard = self.number = 0
        self._known: dict[int, tuple[int, int]] = {}

    def take(self, change: ChangeTold, position: Position, is_following: bool) -> bool:
        """The channel told a change to live members, who are at `position`. Returns whether they know it now: not if
        its message is still on its way to them, from a snapshot perhaps that shows it as it was before."""
        self.heard += 1
        (epoch, seq), at_ms = change
        if not is_following or epoch != position.epoch or seq > position.seq:
            return False
        self._add(seq, at_ms)
        if len(self._known) > TOLD_MAX:
            del self._known[min(self._known)]
        return True

    def take_snapshot(self, snapshot: Snapshot) -> None:
        """Live members know all that a snapshot says, and the numbers of what it does not say are of no use."""
        before, self._known = self._known, {}
        for seq, change in sorted(snapshot.changes.items()):
            if (known := before.get(seq)) is not None and known[0] == change.at_ms:
                self._known[seq] = known
            else:
                self._add(seq, change.at_ms)

    def unknown(self, snapshot: Snapshot, seq: int) -> list[int]:
        """The seqs, up to one, of what a snapshot says and live members do not know."""
        known = self._known
        return [
            at
            for at, change in sorted(snapshot.changes.items())
            if at <= seq and known.get(at, (-1, 0))[0] != change.at_ms
        ]

    def after(self, number: int, seq: int) -> list[tuple[int, int]]:
        """(number, seq) of what was taken after that number, up to that seq, in the order of the numbers."""
        return sorted((known[1], at) for at, known in self._known.items() if known[1] > number and at <= seq)

    def _add(self, seq: int, at_ms: int) -> None:
        self.number += 1
        self._known[seq] = at_ms, self.number


def missed_changes(
    room_json: bytes, changes: Changes, snapshot: Snapshot, position: Position | None, number: int
) -> list[tuple[int, bytes]]:
    """What a reader is told who has all messages up to a position and all changes up to a number, before what is newer:
    numbers and packets. The snapshot is the last that was taken. What a reader has of another epoch has other names."""
    if not snapshot.changes or position is None or position.epoch != snapshot.epoch:
        return []
    return [
        (at, changed_packet(room_json, snapshot, seq))
        for at, seq in changes.after(number, position.seq)
        if seq in snapshot.changes
    ]
