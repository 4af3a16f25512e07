"""Files that are served from memory, with what browsers need to keep them: a tag of their content, and gzip.

Owns the bytes, read once, when the worker starts, and compressed then. A request costs a look at two headers.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import hdrs, web

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".ts": "text/plain; charset=utf-8",
}
"""By the end of the name. TypeScript has no registered type, and is only read."""
GZIP_LEVEL = 9
KEEP = {hdrs.CACHE_CONTROL: "max-age=0, must-revalidate", "X-Content-Type-Options": "nosniff"}
"""Browsers keep a file and ask each time whether it still is the one: a new release shows at the next load."""


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file, as it is sent: plain and compressed, each with the tag of its content."""

    body: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)
    compressed: bytes = field(init=False)
    tag: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "compressed", gzip.compress(self.body, GZIP_LEVEL, mtime=0))
        object.__setattr__(self, "tag", hashlib.sha256(self.body).hexdigest()[:20])

    async def answer(self, request: web.Request) -> web.Response:
        """200 with the file, or 304 where the browser has it. HEAD gets the same without the body."""
        is_compressed = takes_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, ""))
        tag = f'"{self.tag}-gz"' if is_compressed else f'"{self.tag}"'
        headers = {**KEEP, **self.headers, hdrs.ETAG: tag, hdrs.VARY: hdrs.ACCEPT_ENCODING}
        if has_tag(request.headers.get(hdrs.IF_NONE_MATCH, ""), tag):
            return web.Response(status=304, headers=headers)
        headers[hdrs.CONTENT_TYPE] = self.content_type
        if not is_compressed:
            return web.Response(body=self.body, headers=headers)
        headers[hdrs.CONTENT_ENCODING] = "gzip"
        return web.Response(body=self.compressed, headers=headers)


def read_file(path: Path, headers: Mapping[str, str] | None = None) -> StaticFile:
    """A file of a folder; its type is that of the end of its name."""
    return StaticFile(path.read_bytes(), TYPES[path.suffix], headers or {})


def takes_gzip(accepted: str) -> bool:
    """Whether a client that sent this `Accept-Encoding` takes gzip."""
    for each in accepted.lower().split(","):
        coding, _, quality = each.partition(";")
        if coding.strip() in ("gzip", "*"):
            return quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def has_tag(asked: str, tag: str) -> bool:
    """Whether a client that sent this `If-None-Match` has the file with that tag."""
    return asked.strip() == "*" or tag in (each.strip().removeprefix("W/") for each in asked.split(","))
