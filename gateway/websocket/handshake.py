"""The opening handshake of WebSocket (RFC 6455 section 4.2): is a request one, and how it is accepted.

Owns nothing; functions of values without I/O. The refusals are sentences for the developer of a client.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_key(key: bytes | str) -> str:
    """Sec-WebSocket-Accept for a Sec-WebSocket-Key (section 4.2.2)."""
    key = key.encode() if isinstance(key, str) else key
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest()).decode()


def check_handshake(method: str, headers: Mapping[str, str]) -> str:
    """The accept key for a client's handshake; ValueError with a sentence when it is not one (section 4.2.1).

    `headers` are looked up by the names written here; aiohttp's find them in any case.
    """
    if method != "GET":
        raise ValueError("A WebSocket handshake is a GET request.")
    if not _has_token(headers, "Upgrade", "websocket"):
        raise ValueError("The header Upgrade must name websocket.")
    if not _has_token(headers, "Connection", "upgrade"):
        raise ValueError("The header Connection must name Upgrade.")
    if headers.get("Sec-WebSocket-Version", "").strip() != "13":
        raise ValueError("The header Sec-WebSocket-Version must be 13.")
    key = headers.get("Sec-WebSocket-Key", "").strip()
    try:
        size = len(base64.b64decode(key, validate=True))
    except ValueError:
        size = 0
    if size != 16:
        raise ValueError("The header Sec-WebSocket-Key must be 16 bytes in base64.")
    return accept_key(key)


def _has_token(headers: Mapping[str, str], name: str, wanted: str) -> bool:
    value = headers.get(name, "").lower()
    return value == wanted or wanted in [token.strip() for token in value.split(",")]
