"""Which pages may connect, and what their browsers are told.

Owns the meaning of `GATEWAY_ORIGINS`. A browser obeys the headers for polling; for WebSocket it obeys nothing, so the
origin of each handshake is checked here, too. Functions of values.
"""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web


def is_allowed(origin: str | None, origins: Sequence[str]) -> bool:
    """Whether what asks may connect: pages of those origins, and what is no browser, which names none. The header
    Host says nothing: a page that has bent a name of its own to this address (DNS rebinding) sends that name there."""
    return origin is None or "*" in origins or origin in origins


def cors_headers(request: web.Request, origins: Sequence[str]) -> list[tuple[str, str]]:
    """What a browser is told of who may read an answer (the Fetch standard, CORS protocol). Cookies go with the
    requests of pages that are listed, never with those of any page."""
    headers = request.headers
    origin = headers.get("Origin")
    if origin is None or not is_allowed(origin, origins):
        return []
    if "*" in origins:
        told = [("Access-Control-Allow-Origin", "*")]
    else:
        told = [("Access-Control-Allow-Origin", origin), ("Access-Control-Allow-Credentials", "true")]
        told.append(("Vary", "Origin"))
    if request.method == "OPTIONS":
        told.append(("Access-Control-Allow-Methods", "OPTIONS, GET, POST"))
        if "Access-Control-Request-Headers" in headers:
            told.append(("Access-Control-Allow-Headers", headers["Access-Control-Request-Headers"]))
    return told
