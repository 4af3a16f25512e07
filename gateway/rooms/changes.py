"""Messages that were changed after they were sent: members are told by the event `changed`.

A channel tells it at most once. Who missed that, because the channel was away, the member read slowly or was not
connected, is told when its room is next read: the snapshot says which of the kept messages were changed. To be told
twice does no harm. Values only.
"""

from __future__ import annotations

from collections.abc import Sequence
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


def missed_changes(room_json: bytes, snapshot: Snapshot, position: Position | None) -> list[bytes]:
    """What a reader is told who has all up to a position, before what is newer. What it has of another epoch has other
    names."""
    if not snapshot.changes or position is None or position.epoch != snapshot.epoch:
        return []
    return [
        changed_packet(room_json, snapshot, seq) for seq in sorted(snapshot.changes) if seq <= position.seq
    ]


class Changes:
    """The changes that the live members of a room know.

    heard    how many the channel has told
    _at_ms   when messages were changed last, by seq, as far as live members know it
    """

    __slots__ = ("_at_ms", "heard")

    def __init__(self) -> None:
        self.heard = 0
        self._at_ms: dict[int, int] = {}

    def take(self, change: ChangeTold, position: Position, is_following: bool) -> bool:
        """The channel told a change to live members, who are at `position`. Returns whether they know it now: not if
        its message is still on its way to them, from a snapshot perhaps that shows it as it was before."""
        self.heard += 1
        (epoch, seq), at_ms = change
        if not is_following or epoch != position.epoch or seq > position.seq:
            return False
        self._at_ms[seq] = at_ms
        if len(self._at_ms) > TOLD_MAX:
            del self._at_ms[min(self._at_ms)]
        return True

    def of_snapshot(self, snapshot: Snapshot) -> None:
        """Live members know all that a snapshot says."""
        self._at_ms = {seq: change.at_ms for seq, change in snapshot.changes.items()}

    def unknown(self, snapshot: Snapshot, seq: int) -> Sequence[int]:
        """The seqs, up to one, of what a snapshot says and live members do not know."""
        return [
            at
            for at, change in sorted(snapshot.changes.items())
            if at <= seq and self._at_ms.get(at, -1) != change.at_ms
        ]
