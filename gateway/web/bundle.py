"""The stock client, served where the old service served it: `/socket.io/socket.io.js` and its siblings.

Owns the headers, which are those of Node's server: the release as tag, and `max-age=0`, so that browsers ask each time
and get a 304. Reads the files once, at the start, and serves them from memory. Files that are not those of the
release are not served: a page would run them.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

from aiohttp import hdrs, web

from gateway.web.bundle_files import HASHES, VERSION, BundleError, checked

TAG = f'"{VERSION}"'
HEADERS = {
    hdrs.CACHE_CONTROL: "public, max-age=0",
    hdrs.ETAG: TAG,
    hdrs.VARY: hdrs.ACCEPT_ENCODING,
    hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*",  # a module is loaded by pages of any origin; it is the same for everybody
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class BundleFile:
    """One file as it is sent, plain and compressed."""

    name: str
    body: bytes
    compressed: bytes

    async def answer(self, request: web.Request) -> web.Response:
        """200 with the file, or 304 where the browser has this release. HEAD gets the same without the body."""
        if _has_release(request.headers.get(hdrs.IF_NONE_MATCH, "")):
            return web.Response(status=304, headers=HEADERS)
        kind = "application/json" if self.name.endswith(".map") else "application/javascript"
        headers = {**HEADERS, hdrs.CONTENT_TYPE: f"{kind}; charset=utf-8"}
        if "gzip" not in request.headers.get(hdrs.ACCEPT_ENCODING, "").lower():
            return web.Response(body=self.body, headers=headers)
        return web.Response(body=self.compressed, headers={**headers, hdrs.CONTENT_ENCODING: "gzip"})


def _has_release(asked: str) -> bool:
    return asked.strip() == "*" or TAG in (each.strip().removeprefix("W/") for each in asked.split(","))


def read_bundle(folder: Path) -> list[BundleFile]:
    """The files of a folder; none where there is none of them. Raises BundleError where they are not what they should
    be."""
    if not any((folder / name).exists() for name in HASHES):
        return []
    return [_read(folder, name) for name in HASHES]


def _read(folder: Path, name: str) -> BundleFile:
    try:
        body = checked(name, (folder / name).read_bytes())
        compressed = (folder / f"{name}.gz").read_bytes()
        is_same = gzip.decompress(compressed) == body
    except (OSError, EOFError) as error:
        raise BundleError(f"{folder / name} cannot be read: {error}") from error
    if not is_same:
        raise BundleError(f"{name}.gz is not {name}, compressed")
    return BundleFile(name, body, compressed)


def serve_bundle(app: web.Application, path: str, files: list[BundleFile]) -> None:
    """Serves the files below the path of Socket.IO."""
    for file in files:
        app.router.add_get(f"{path.rstrip('/')}/{file.name}", file.answer)
