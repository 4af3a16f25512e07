"""The application of one worker, and what of `gateway/web/` it serves, by its options."""

from __future__ import annotations

from aiohttp import web

from gateway.settings import Settings
from gateway.web.page import serve_chat_js, serve_page


def application_of(settings: Settings) -> web.Application:
    """An application that serves `chat.js`, and the page where the options want it; nothing else yet."""
    app, prefix = (
        web.Application(client_max_size=settings.engine.max_payload_bytes),
        settings.server.path_prefix,
    )
    serve_chat_js(app, prefix)
    if has_page(settings):
        serve_page(app, prefix, settings.server.path, settings.identity.auth)
    return app


def has_page(settings: Settings) -> bool:
    """Whether there is a page at `/`: unless told, while nobody is kept out or nothing but a first try can be meant."""
    is_a_try = settings.identity.auth == "off" or settings.redis.url is None
    return settings.page.page == "on" or (settings.page.page == "auto" and is_a_try)
