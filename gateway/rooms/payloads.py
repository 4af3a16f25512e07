"""What a room's channel brings, as it is written there. Functions of values: what is malformed is told apart, never
raised, because anybody who reaches Redis can publish on the channel."""

from __future__ import annotations

from gateway.protocol import Position, is_json

DIGITS_MAX = 18
"""Of a seq: more than a room of a million messages a second has in ten thousand years."""


def is_object(data: bytes) -> bool:
    """Whether data can be a JSON object in UTF-8, at a glance: for messages that have the right number, which the
    publish script gives."""
    return data.startswith(b"{") and data.endswith(b"}") and (data.isascii() or _is_utf_8(data))


def parse_payload(head: bytes, data: bytes) -> Position | str | None:
    """What stands before the data: a position, or the session that does not get the notice. None if it is malformed."""
    if data and not (is_object(data) and is_json(data)):
        return None
    try:
        if head.startswith(b"-"):
            return head[1:].decode() if data else None
        epoch, _, number = head.decode().partition(":")
    except UnicodeDecodeError:
        return None
    is_number = number.isascii() and number.isdigit() and len(number) <= DIGITS_MAX
    return Position(epoch, int(number)) if epoch and is_number else None


def _is_utf_8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
