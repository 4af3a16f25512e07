"""What an Engine.IO request is answered with: the reference server's refusals, and the head that goes with a body.

Owns the numbers and words of the refusals. Functions of values without I/O.
"""

from __future__ import annotations

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


def response(answer: Answer, cors_headers: Iterable[tuple[str, str]]) -> web.Response:
    """An answer as aiohttp sends it; never to be cached."""
    status, body = answer
    made = web.Response(status=status, body=body, content_type="text/plain", charset="UTF-8")
    made.headers.extend(list(cors_headers))
    made.headers["Cache-Control"] = "no-store"
    return made


def cors_environ(request: web.Request) -> dict[str, str]:
    """What python-engineio wants to know of a request to name the CORS headers of its answer."""
    environ = {"REQUEST_METHOD": request.method}
    for header in ("Origin", "Access-Control-Request-Headers"):
        if header in request.headers:
            environ[_wsgi_name(header)] = request.headers[header]
    return environ


def handshake_environ(request: web.Request, client_address: str) -> dict[str, str]:
    """What handlers may want to know of a handshake: strings only, so that the request itself can go."""
    environ = {
        "REQUEST_METHOD": request.method,
        "PATH_INFO": request.path,
        "QUERY_STRING": request.query_string,
        "REMOTE_ADDR": client_address,
    }
    for header in ("Origin", "User-Agent", "Authorization", "Cookie"):
        if header in request.headers:
            environ[_wsgi_name(header)] = request.headers[header]
    return environ


def _wsgi_name(header: str) -> str:
    return "HTTP_" + header.upper().replace("-", "_")
