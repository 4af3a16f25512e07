"""Paths of HTTP, as people write them: with and without a slash at the end; and the turns of their requests."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.transport.conduct import REFUSED_REQUEST
from gateway.transport.http_reading import HttpConnection, connection_of, linger
from gateway.transport.turns import Turns

BLAMELESS = web.ResponseKey("blameless", bool)
"""On a refusal that costs its connection nothing: whoever asked has shown who it is."""


def serve_path(app: web.Application, method: str, path: str, handler: Handler) -> None:
    """Serves a path, and the same with a slash at its end; `*` is every method."""
    for written in (path, f"{path}/"):
        if method == "GET":
            app.router.add_get(written, handler)
        else:
            app.router.add_route(method, written, handler)


def take_turns(app: web.Application, turns: Turns, path: str, is_proxy: Callable[[str], bool]) -> None:
    """Lets all requests of an application take turns but those to `path` that begin a session. Refused ones cost
    their connection, unless its peer is a proxy that
    carries requests of many."""

    @web.middleware
    async def in_turn(request: web.Request, handler: Handler) -> web.StreamResponse:
        connection = connection_of(request)
        is_slow = False
        if connection is not None:
            connection.count_request()
            is_slow = connection.is_slow()
        if is_slow or "sid" in request.query or request.path.rstrip("/") != path:
            await (connection.come(turns, is_slow) if connection is not None else turns.come(is_slow))
        try:
            response = await handler(request)
        except web.HTTPException as refused:
            await _judge(connection, request, refused, is_proxy)
            raise
        await _judge(connection, request, response, is_proxy)
        return response

    app.middlewares.append(in_turn)


async def _judge(
    connection: HttpConnection | None,
    request: web.Request,
    response: web.StreamResponse,
    is_proxy: Callable[[str], bool],
) -> None:
    """Charges a connection for what was refused, and ends it when that is too much."""
    if connection is None:
        return
    is_refused = 400 <= response.status < 500
    if is_refused and not response.get(BLAMELESS) and not is_proxy(request.remote or ""):
        connection.charge(REFUSED_REQUEST)
    if connection.is_over or (is_refused and not request.content.is_eof()):
        await linger(connection, request, response)
