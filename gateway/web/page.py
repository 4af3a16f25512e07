"""The page at `/`, and `/chat.js` with its types.

Owns which files there are, where they stand, and what browsers may do with them. All addresses in the files are
relative, so they hold behind any prefix, also one that a proxy takes away. The page may load only what this gateway
serves, runs no script that stands in HTML, and cannot be put into a frame.
"""

from __future__ import annotations

import html
from pathlib import Path

from aiohttp import web

from gateway.web.assets import Assets
from gateway.web.static_files import TYPES, StaticFile, read_file

FOLDER = Path(__file__).parent / "static"
MODULES = ("chat.js", "chat.d.ts", "chat/room.js", "chat/messages.js", "chat/socket.js")
"""For any page, of any origin: they are the same for everybody, and hold nothing of anybody."""
ASSETS = (
    "page/style.css", "page/icon.svg", "chat/messages.js", "chat/socket.js", "chat/room.js", "chat.js", "page/dom.js",
    "page/timeline.js", "page/rooms.js", "page/people.js", "page/main.js",
)  # fmt: skip
"""The page's own, named by their content; of what `chat.js` is, a page of this gateway has its own copy."""
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
    assets = Assets(FOLDER, ASSETS, FOR_OUR_PAGE)
    _serve(app, f"{prefix}/", page_of(path, auth, assets))
    assets.attach(app, prefix)
    if prefix:
        app.router.add_get(prefix, _to_the_folder)


def page_of(path: str, auth: str, assets: Assets) -> StaticFile:
    """The page of a gateway with these two options, which stand in its head. Its style is named before the page itself,
    so that a browser asks for it before it has read the page."""
    text = (FOLDER / "page" / "index.html").read_text(encoding="utf-8")
    for name, at in assets.paths.items():
        text = text.replace(f'="{name}"', f'="{at}"')
    said = text.replace("{path}", html.escape(path)).replace("{auth}", html.escape(auth))
    early = {"Link": f"<{assets.paths['page/style.css']}>; rel=preload; as=style"}
    return StaticFile(said.encode(), TYPES[".html"], {**FOR_OUR_PAGE, **early})


def _serve(app: web.Application, path: str, file: StaticFile) -> None:
    app.router.add_get(path, file.answer)


async def _to_the_folder(request: web.Request) -> web.Response:
    """Without the slash, the addresses in the page would be those of the folder above."""
    return web.Response(status=308, headers={"Location": f"{request.path.rpartition('/')[2]}/"})
