"""The dashboard's style and script: two files, named by their content, so that browsers keep them until they change."""

from __future__ import annotations

import hashlib
from pathlib import Path

from aiohttp import web

from gateway.admin.requests import HEADERS

FOLDER = Path(__file__).parent / "static"


class Files:
    """Serves both."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._files = {name: (FOLDER / name).read_bytes() for name in ("admin.css", "admin.js")}
        self.css, self.js = (self._address(name) for name in ("admin.css", "admin.js"))

    def _address(self, name: str) -> str:
        return f"{self._base}/{hashlib.sha256(self._files[name]).hexdigest()[:12]}/{name}"

    def attach(self, app: web.Application) -> None:
        """Whatever the hash: a page of the release before finds the newer file."""
        app.router.add_get(f"{self._base}/{{hash:[0-9a-f]{{12}}}}/{{name:admin\\.(css|js)}}", self._serve)

    async def _serve(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        kind = "text/css" if name.endswith("css") else "text/javascript"
        is_current = request.path.endswith((self.css, self.js))
        cached = "private, max-age=31536000, immutable" if is_current else "no-cache"
        headers = {**HEADERS, "Cache-Control": cached}
        return web.Response(body=self._files[name], content_type=kind, charset="utf-8", headers=headers)
