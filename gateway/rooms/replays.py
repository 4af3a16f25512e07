"""The packets by which members get what was stored, or hear that it is gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import orjson

from gateway.metrics import gaps, replayed
from gateway.protocol import Position, Refusal, acknowledgement_packet, event_packet, receive_json
from gateway.state.history import Snapshot
from gateway.websocket.frames import text_frame

RECEIVE: Final = b'42["receive",'
"""How the packet of an event `receive` begins; its JSON and `]` follow."""


def history_packets(
    room_json: bytes, entries: Sequence[tuple[int, bytes]], snapshot: Snapshot
) -> list[bytes]:
    """The `receive` packets of entries of a snapshot, given with their seqs."""
    return [_received(room_json, seq, entry, snapshot) for seq, entry in entries]


class Replay:
    """The `receive` packets of stored messages, oldest first: the same for all who lack the same.

    numbered    each with its seq
    size_bytes  of the packets together
    """

    __slots__ = ("_frames", "numbered", "size_bytes")

    def __init__(self, numbered: list[tuple[int, bytes]]) -> None:
        self.numbered = numbered
        self.size_bytes = sum(len(packet) for _, packet in numbered)
        self._frames: bytes | None = None

    @property
    def frames(self) -> bytes:
        """The packets as WebSocket frames, ready to be written."""
        if self._frames is None:
            self._frames = b"".join([text_frame(packet) for _, packet in self.numbered])
        return self._frames


class Replays:
    """What was made of one snapshot for members who get it. Example: 25 join a room of 100 messages while one snapshot
    is read. Each message becomes a packet once, and all of them together one piece of bytes."""

    __slots__ = ("_made",)

    def __init__(self) -> None:
        # Packets by seq, and replays by their first one; made when they are needed, as each room has this object.
        self._made: tuple[dict[int, bytes], dict[int, Replay]] | None = None

    def of(self, room_json: bytes, entries: Sequence[tuple[int, bytes]], snapshot: Snapshot) -> Replay:
        """Entries of the snapshot, given with their seqs, up to its newest."""
        replayed.value += len(entries)
        if self._made is None:
            self._made = {}, {}
        packets, by_first = self._made
        first = entries[0][0] if entries else 0
        if (replay := by_first.get(first)) is None:
            for seq, entry in entries:
                if seq not in packets:
                    packets[seq] = _received(room_json, seq, entry, snapshot)
            replay = by_first[first] = Replay([(seq, packets[seq]) for seq, _ in entries])
        return replay


def _received(room_json: bytes, seq: int, entry: bytes, snapshot: Snapshot) -> bytes:
    more = snapshot.more.get(seq, b"")
    return RECEIVE + receive_json(entry, room_json, Position(snapshot.epoch, seq), more) + b"]"


def gap_packet(room: str, trusted: Position | None, cause: str) -> bytes:
    """The `error` packet that announces a gap; `id` is the last position that still holds, if one does. The cause is
    one that `metrics.gaps` names."""
    known = str(trusted) if trusted is not None and trusted.epoch else None
    gaps.because(cause)
    error = Refusal("gap").as_error(room=room, id=known)
    return event_packet("error", orjson.dumps(error))


@dataclass(frozen=True, slots=True)
class JoinAnswer:
    """How a join is answered once the history is written: the number of the acknowledgement that was asked for, how
    many users there were, and whether `since` was honoured (None if it was not asked). A join that came with CONNECT
    has no number: the event `joined` answers it."""

    ack: int | None
    count: int
    recovered: bool | None

    def packet(self, room_json: bytes, position: Position) -> bytes:
        """The answer, with the position where the room is now."""
        recovered = self.recovered
        recovery = b"" if recovered is None else b',"recovered":true' if recovered else b',"recovered":false'
        answer = b'{"ok":true,"room":%b,"id":"%b","count":%d%b}' % (
            room_json,
            str(position).encode(),
            self.count,
            recovery,
        )
        return (
            event_packet("joined", answer) if self.ack is None else acknowledgement_packet(self.ack, answer)
        )

    def with_gap(self) -> JoinAnswer:
        """The same after messages were trimmed that the member had not got yet."""
        return self if self.recovered is None else replace(self, recovered=False)
