"""What an Engine.IO request is answered with: the reference server's refusals, and the head that goes with a body.

Owns the numbers and words of the refusals, and when a body is compressed. Functions of values without I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from aiohttp import web

Answer = tuple[int, bytes]
"""An HTTP status and a body."""


def _refusal(status: int, code: int, message: str) -> Answer:
    return status, b'{"code":%d,"message":"%b"}' % (code, message.encode())


OK: Answer = 200, b"ok"
OPTIONS_OK: Answer = 200, b"OK"
UNKNOWN_TRANSPORT = _refusal(400, 0, "Transport unknown")
UNKNOWN_SESSION = _refusal(400, 1, "Session ID unknown")
BAD_METHOD = _refusal(400, 2, "Bad handshake method")
BAD_REQUEST = _refusal(400, 3, "Bad request")
TOO_LARGE = _refusal(413, 3, "Payload too large")
ORIGIN_NOT_ALLOWED = _refusal(403, 4, "Origin not allowed")
UNKNOWN_VERSION = _refusal(400, 5, "Unsupported protocol version")

REASONS: dict[Answer, str] = {
    UNKNOWN_TRANSPORT: "unknown_transport",
    UNKNOWN_SESSION: "unknown_session",
    BAD_METHOD: "bad_method",
    BAD_REQUEST: "bad_request",
    TOO_LARGE: "too_large",
    ORIGIN_NOT_ALLOWED: "origin_not_allowed",
    UNKNOWN_VERSION: "unsupported_protocol_version",
}
"""Every refusal, and the word under which it is counted and logged."""

REASON = web.ResponseKey("reason", str)
"""The same word, on a response that was refused elsewhere (by the gate)."""

COMPRESSED_FROM_BYTES = 1024
"""Shorter bodies are never compressed: python-engineio's `compression_threshold`, too."""
COMPRESSED_AT_ONCE_BYTES = 4096
"""Up to so many bytes are compressed in the event loop, in about 0.1 ms; more in a thread."""


def response(answer: Answer, cors_headers: Iterable[tuple[str, str]], accepted: str = "") -> web.Response:
    """An answer as aiohttp sends it; never to be cached. `accepted` is the request's Accept-Encoding."""
    status, body = answer
    content_type = "text/plain" if status == 200 else "application/json"
    made = web.Response(
        status=status, body=body, content_type=content_type, charset="UTF-8",
        zlib_executor_size=COMPRESSED_AT_ONCE_BYTES,
    )  # fmt: skip
    made.headers.extend(list(cors_headers))
    made.headers["Cache-Control"] = "no-store"
    if len(body) >= COMPRESSED_FROM_BYTES and accepts_gzip(accepted):
        made.enable_compression(web.ContentCoding.gzip)
        made.headers.add("Vary", "Accept-Encoding")
    return made


def accepts_gzip(accepted: str) -> bool:
    """Whether an Accept-Encoding names gzip, and not with the weight 0, which excludes it (RFC 9110 section 12.5.3)."""
    for coding in accepted.lower().split(","):
        name, _, weight = coding.partition(";")
        if name.strip() in ("gzip", "x-gzip"):
            return not re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", weight)
    return False


def handshake_environ(request: web.Request, client_address: str | None) -> dict[str, str]:
    """What handlers may want to know of a handshake: strings only, so that the request itself can go. REMOTE_ADDR is
    left out where the client has no address that anybody trusted says."""
    environ = {
        "REQUEST_METHOD": request.method,
        "PATH_INFO": request.path,
        "QUERY_STRING": request.query_string,
    }
    if client_address is not None:
        environ["REMOTE_ADDR"] = client_address
    for header in ("Origin", "User-Agent", "Authorization", "Cookie"):
        if header in request.headers:
            environ[_wsgi_name(header)] = request.headers[header]
    return environ


def _wsgi_name(header: str) -> str:
    return "HTTP_" + header.upper().replace("-", "_")
