"""Which paths are served at which port, where the server API has one of its own.

At its own port there are the API and the dashboard, and nothing of the clients; at the clients' port there are neither.
Whatever a request's path is, decoded, it is answered 404 as one that nobody knows. Both ports say how the worker is
(`/healthz`, `/readyz`).
"""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.api_options import Address

OWN = ("/api/", "/admin/")
EVERYWHERE = ("/healthz", "/readyz")


def keep_apart(app: web.Application, prefix: str, own: Address) -> None:
    """Serves the API and the dashboard at their own address only."""
    owned = tuple(f"{prefix}{path}" for path in OWN)
    everywhere = {f"{prefix}{path}" for path in EVERYWHERE}

    @web.middleware
    async def apart(request: web.Request, handler: Handler) -> web.StreamResponse:
        is_own = _is_at(request, own)
        if is_own != f"{request.path}/".startswith(owned) and (
            not is_own or request.path.rstrip("/") not in everywhere
        ):
            raise web.HTTPNotFound
        return await handler(request)

    app.middlewares.append(apart)


def _is_at(request: web.Request, own: Address) -> bool:
    """Whether a request came by the API's own address."""
    name = request.transport.get_extra_info("sockname") if request.transport is not None else None
    if own.path:
        return isinstance(name, str | bytes)
    return isinstance(name, tuple) and name[1] == own.port
