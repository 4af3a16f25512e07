"""The packets by which members get what was stored, or hear that it is gone."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from gateway.metrics import gaps
from gateway.protocol import Position, Refusal, event_packet, receive_json

RECEIVE = b'42["receive",'
"""How the packet of an event `receive` begins; its JSON and `]` follow."""


def history_packets(room_json: bytes, entries: Sequence[tuple[int, bytes]], epoch: str) -> list[bytes]:
    """The `receive` packets of stored entries, given with their seqs."""
    return [RECEIVE + receive_json(entry, room_json, Position(epoch, seq)) + b"]" for seq, entry in entries]


def gap_packet(room: str, trusted: Position | None) -> bytes:
    """The `error` packet that announces a gap; `id` is the last position that still holds, if one does."""
    known = str(trusted) if trusted is not None and trusted.epoch else None
    gaps.add(1)
    error = Refusal("gap").as_error(room=room, id=known)
    return event_packet("error", orjson.dumps(error))
