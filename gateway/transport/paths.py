"""Paths of HTTP, as people write them: with and without a slash at the end."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler


def serve_path(app: web.Application, method: str, path: str, handler: Handler) -> None:
    """Serves a path, and the same with a slash at its end; `*` is every method."""
    for written in (path, f"{path}/"):
        if method == "GET":
            app.router.add_get(written, handler)
        else:
            app.router.add_route(method, written, handler)
