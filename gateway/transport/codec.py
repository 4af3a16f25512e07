"""Packets as bytes: Engine.IO payloads and Socket.IO events, read strictly and written.

Owns the decisions of what is malformed, by the Engine.IO v4 and Socket.IO v5 protocol documents. Does no I/O.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from engineio import packet as engineio_packet

from gateway.websocket.frames import BINARY, TEXT

RESERVED_EVENTS = frozenset(
    {"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"}
)
"""Event names that Socket.IO keeps for itself; a client that sends one breaks the protocol."""

ATTACHMENTS_MAX = 10
"""Binary attachments of one packet; the reference parser has the same limit."""

ACK_DIGITS_MAX = 16
"""Digits of an acknowledgement's number: JavaScript counts to 2**53 exactly, which has 16."""

SEPARATOR = b"\x1e"
_ACK_END_MAX = 2 + ACK_DIGITS_MAX
_DIGITS = frozenset(b"0123456789")


class MalformedPacket(ValueError):
    """A client broke the protocol: its connection is closed at once."""


class PacketTooLarge(MalformedPacket):
    """The frames of one packet have more bytes together than a message may: answered as such a message is."""


def decode_payload(body: bytes) -> Iterator[tuple[int, bytes]]:
    """The packets of a polling request as (opcode, data), base64 undone, each when it is asked for. Raises
    MalformedPacket at the first that is none."""
    if not body:
        raise MalformedPacket("an empty payload")
    at = 0
    while at <= len(body):
        end = body.find(SEPARATOR, at)
        part = body[at : end if end >= 0 else len(body)]
        at += len(part) + 1
        yield (BINARY, decode_base64(part)) if part.startswith(b"b") else (TEXT, part)


def decode_base64(packet: bytes) -> bytes:
    """The data of a binary message that came as text, `b<base64>`: over polling, or from a client that is told to send
    nothing else (`forceBase64`). Raises MalformedPacket."""
    try:
        return base64.b64decode(packet[1:], validate=True)
    except binascii.Error as error:
        raise MalformedPacket("not base64") from error


def decode_event(data: bytes) -> tuple[Any, list[Any], int | None]:
    """Reads the text packet of an event of `/`, `42<ack?>[name, …]`, into name, arguments and the number of the
    acknowledgement asked for. Raises MalformedPacket."""
    ack, at = None, 2
    if data[2:3] != b"[":
        size = len(data)
        while at < size and data[at] in _DIGITS:
            at += 1
        if not 2 < at <= _ACK_END_MAX:
            raise MalformedPacket("not an event")
        ack = int(data[2:at])
    event = load_json(data[at:])
    check_event(event)
    return event[0], event[1:], ack


def check_event(event: Any) -> None:
    """An event is an array that begins with its name; raises MalformedPacket if this is none."""
    if not isinstance(event, list) or not event:
        raise MalformedPacket("an event is an array")
    name = event[0]
    if isinstance(name, bool) or not isinstance(name, str | int | float):
        raise MalformedPacket("an event begins with its name")
    if name in RESERVED_EVENTS:
        raise MalformedPacket(f"the event name {name!r} is reserved")


def load_json(data: bytes) -> Any:
    """Parses JSON; what orjson refuses but JavaScript may send (half a surrogate pair) is left to the slower parser.
    Raises MalformedPacket."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            return json.loads(data, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise MalformedPacket("not JSON") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def encode_payload(packets: Sequence[tuple[bytes, bool]]) -> bytes:
    """Engine.IO payload: packets with a record separator between them, binary ones in base64 after a `b`."""
    encoded = engineio_packet.Packet
    parts = [encoded(4, data).encode(b64=True).encode() if is_binary else data for data, is_binary in packets]
    return SEPARATOR.join(parts)


def open_packet(sid: str, upgrades: list[str], interval_s: float, timeout_s: float, max_bytes: int) -> bytes:
    """The handshake packet; times in whole milliseconds, as the protocol says."""
    handshake = {
        "sid": sid,
        "upgrades": upgrades,
        "pingInterval": round(interval_s * 1000),
        "pingTimeout": round(timeout_s * 1000),
        "maxPayload": max_bytes,
    }
    return b"0" + orjson.dumps(handshake)
