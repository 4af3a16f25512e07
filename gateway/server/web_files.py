"""The application of one worker, and what of `gateway/web/` it serves, by its options."""

from __future__ import annotations

from aiohttp import web

from gateway.server.client_files import serve_client
from gateway.settings import Settings
from gateway.web.page import serve_chat_js, serve_page


def application_of(settings: Settings) -> web.Application:
    """An application that serves `chat.js`, and, where the options want it, the stock client and the page."""
    app, prefix = (
        web.Application(client_max_size=settings.engine.max_payload_bytes),
        settings.server.path_prefix,
    )
    serve_chat_js(app, prefix)
    serve_client(app, settings)
    if settings.has_page:
        serve_page(app, prefix, settings.server.path, settings.identity.auth)
    return app
