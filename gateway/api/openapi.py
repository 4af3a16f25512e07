"""The server API's description in OpenAPI 3.1: `GET <prefix>/api/v1/openapi.json`.

Written by hand in `openapi.json`, and compared with the method table by a test. It holds nothing secret, so it is
served without a key, as generators fetch it. Like the methods it is there only where there are keys.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from aiohttp import web

NAME = "openapi.json"
HEADERS = {
    "Content-Type": "application/json",
    "Cache-Control": "public, max-age=300",
    "X-Content-Type-Options": "nosniff",
}


@cache
def document() -> bytes:
    """The document, as it stands in the package."""
    return Path(__file__).with_name(NAME).read_bytes()


async def serve(request: web.Request) -> web.Response:
    """Answers with it."""
    return web.Response(body=document(), headers=HEADERS)
