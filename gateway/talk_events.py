"""What clients say beside messages: signals, marks of what was read, and questions for unread messages.

Owns their parsing. Promises that bad input raises `Refusal` and nothing else. Does no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway import event_fields
from gateway.option_groups import Sizes
from gateway.protocol import Position, Refusal

KIND_MAX = 32
"""Longest kind of a signal."""

DATA_BYTES_MAX = 1024
"""Longest data of a signal, as JSON in UTF-8."""

ROOMS_MAX = 200
"""Rooms of one `unread`."""


@dataclass(frozen=True, slots=True)
class Signal:
    """`data` is JSON; empty if none was said."""

    room: str
    kind: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Read:
    """Everything up to `id` was read."""

    room: str
    id: Position


@dataclass(frozen=True, slots=True)
class Unread:
    """Each room once."""

    rooms: tuple[str, ...]


def parse_signal(data: dict[str, Any], sizes: Sizes, voice: object) -> Signal:
    """Reads `{room, kind, data?}`."""
    room = event_fields.room(data, sizes)
    kind = event_fields.text(data, "kind", KIND_MAX)
    if not kind.isprintable():
        raise Refusal("bad_request", "'kind' must not contain control characters.")
    if kind.startswith("_"):
        raise Refusal("bad_request", "Kinds that begin with '_' are the server's.")
    has_data = data.get("data") is not None
    return Signal(room, kind, event_fields.small_json(data, "data", DATA_BYTES_MAX) if has_data else b"")


def parse_read(data: dict[str, Any], sizes: Sizes, voice: object) -> Read:
    """Reads `{room, id}`."""
    room, position = event_fields.room(data, sizes), event_fields.position(data, "id")
    if position is None:
        raise Refusal("bad_request", "'id' must be the 'id' of a message, as '<epoch>:<seq>'.")
    return Read(room, position)


def parse_unread(data: dict[str, Any], sizes: Sizes, voice: object) -> Unread:
    """Reads `{rooms}`."""
    rooms = data.get("rooms")
    if not isinstance(rooms, list) or not rooms:
        raise Refusal("bad_request", "'rooms' must be a list of rooms.")
    if len(rooms) > ROOMS_MAX:
        raise Refusal("too_large", f"'rooms' has {len(rooms)} rooms; {ROOMS_MAX} are allowed.")
    return Unread(tuple(dict.fromkeys(event_fields.room({"room": room}, sizes) for room in rooms)))
