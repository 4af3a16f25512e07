"""Paths of HTTP, as people write them: with and without a slash at the end."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.transport.turns import Turns


def serve_path(app: web.Application, method: str, path: str, handler: Handler) -> None:
    """Serves a path, and the same with a slash at its end; `*` is every method."""
    for written in (path, f"{path}/"):
        if method == "GET":
            app.router.add_get(written, handler)
        else:
            app.router.add_route(method, written, handler)


def take_turns(app: web.Application, turns: Turns, path: str) -> None:
    """Lets all requests of an application take turns but those to `path` that begin a session."""

    @web.middleware
    async def in_turn(request: web.Request, handler: Handler) -> web.StreamResponse:
        if "sid" in request.query or request.path.rstrip("/") != path:
            await turns.come()
        return await handler(request)

    app.middlewares.append(in_turn)
