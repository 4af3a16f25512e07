"""Writing what clients read, by the Engine.IO v4 protocol document: the handshake packet, and polling payloads."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from engineio import packet as engineio_packet

SEPARATOR = b"\x1e"


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
