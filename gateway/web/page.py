"""The page at `/`, and `/chat.js` with its types.

Owns which files there are, where they stand, and what browsers may do with them. All addresses in the files are
relative, so they hold behind any prefix, also one that a proxy takes away. The page may load only what this gateway
serves, runs no script that stands in HTML, and cannot be put into a frame.
"""

from __future__ import annotations

import html
from pathlib import Path

from aiohttp import web

from gateway.web.static_files import StaticFile, read_file

FOLDER = Path(__file__).parent / "static"
MODULES = ("chat.js", "chat.d.ts", "chat/room.js", "chat/messages.js", "chat/socket.js")
"""For any page, of any origin: they are the same for everybody, and hold nothing of anybody."""
PARTS = ("style.css", "icon.svg", "main.js", "timeline.js", "rooms.js", "people.js", "dom.js")
FOR_ANY_PAGE = {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}
FOR_OUR_PAGE = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}


def serve_chat_js(app: web.Application, prefix: str) -> None:
    """Serves the module for pages of any application."""
    for name in MODULES:
        _serve(app, f"{prefix}/{name}", read_file(FOLDER / name, FOR_ANY_PAGE))


def serve_page(app: web.Application, prefix: str, path: str, auth: str) -> None:
    """Serves the page. `path` is that of the sessions below `prefix`; `auth` says whether a token is asked for."""
    _serve(app, f"{prefix}/", page_of(path, auth))
    if prefix:
        app.router.add_get(prefix, _to_the_folder)
    for name in PARTS:
        _serve(app, f"{prefix}/page/{name}", read_file(FOLDER / "page" / name, FOR_OUR_PAGE))


def page_of(path: str, auth: str) -> StaticFile:
    """The page of a gateway with these two options, which stand in its head."""
    template = (FOLDER / "page" / "index.html").read_text(encoding="utf-8")
    said = template.replace("{path}", html.escape(path)).replace("{auth}", html.escape(auth))
    return StaticFile(said.encode(), "text/html; charset=utf-8", FOR_OUR_PAGE)


def _serve(app: web.Application, path: str, file: StaticFile) -> None:
    app.router.add_get(path, file.answer)


async def _to_the_folder(request: web.Request) -> web.Response:
    """Without the slash, the addresses in the page would be those of the folder above."""
    return web.Response(status=308, headers={"Location": f"{request.path.rpartition('/')[2]}/"})
