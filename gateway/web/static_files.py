"""Files that are served from memory, with what browsers need to keep them: a tag of their content, and what they are
compressed to.

Owns the bytes, read once, when the worker starts, and compressed then. A request costs a look at two headers. Brotli is
used where its package is there (the extra `brotli`); without it everybody gets gzip, which every browser takes.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
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
BROTLI_QUALITY = 10
"""All files take 33 ms at each start of a worker, and get 12 % smaller than by gzip; 11 takes twice as long for 3 %."""
ASKED_ABOUT = "max-age=0, must-revalidate"
"""Browsers keep a file and ask each time whether it still is the one: a new release shows at the next load."""
NO_QUALITY = ("q=0", "q=0.0", "q=0.00", "q=0.000")


def _brotli() -> Callable[[bytes], bytes] | None:
    try:
        compress = import_module("brotli").compress
    except ImportError:
        return None
    return lambda body: compress(body, quality=BROTLI_QUALITY)


BROTLI = _brotli()


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file, as it is sent: plain and compressed, each with the tag of its content."""

    body: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)
    cached: str = ASKED_ABOUT
    """The `Cache-Control` that it is sent with."""
    tag: str = field(init=False)
    bodies: Mapping[str, bytes] = field(init=False)
    """By `Content-Encoding`, what is best first. Nothing is in it that is larger than the plain file."""

    def __post_init__(self) -> None:
        found = {} if BROTLI is None else {"br": BROTLI(self.body)}
        found["gzip"] = gzip.compress(self.body, GZIP_LEVEL, mtime=0)
        object.__setattr__(self, "bodies", {k: v for k, v in found.items() if len(v) < len(self.body)})
        object.__setattr__(self, "tag", hashlib.sha256(self.body).hexdigest()[:20])

    async def answer(self, request: web.Request) -> web.Response:
        """200 with the file, or 304 where the browser has it. HEAD gets the same without the body."""
        return self.answer_as(request, self.cached)

    def answer_as(self, request: web.Request, cached: str) -> web.Response:
        """As `answer`, with another `Cache-Control`."""
        coding = best_coding(request.headers.get(hdrs.ACCEPT_ENCODING, ""), self.bodies)
        tag = f'"{self.tag}-{coding}"' if coding else f'"{self.tag}"'
        headers = {
            hdrs.CACHE_CONTROL: cached,
            "X-Content-Type-Options": "nosniff",
            **self.headers,
            hdrs.ETAG: tag,
            hdrs.VARY: hdrs.ACCEPT_ENCODING,
        }
        if has_tag(request.headers.get(hdrs.IF_NONE_MATCH, ""), tag):
            return web.Response(status=304, headers=headers)
        headers[hdrs.CONTENT_TYPE] = self.content_type
        if coding is None:
            return web.Response(body=self.body, headers=headers)
        return web.Response(body=self.bodies[coding], headers={**headers, hdrs.CONTENT_ENCODING: coding})


def read_file(path: Path, headers: Mapping[str, str] | None = None) -> StaticFile:
    """A file of a folder; its type is that of the end of its name."""
    return StaticFile(path.read_bytes(), TYPES[path.suffix], headers or {})


def best_coding(accepted: str, offered: Iterable[str]) -> str | None:
    """The first of the codings that a client with this `Accept-Encoding` takes; None: it gets the plain file."""
    takes: dict[str, bool] = {}
    for each in accepted.lower().split(","):
        coding, _, quality = each.partition(";")
        takes[coding.strip()] = quality.replace(" ", "") not in NO_QUALITY
    return next((coding for coding in offered if takes.get(coding, takes.get("*", False))), None)


def has_tag(asked: str, tag: str) -> bool:
    """Whether a client that sent this `If-None-Match` has the file with that tag."""
    return asked.strip() == "*" or tag in (each.strip().removeprefix("W/") for each in asked.split(","))
