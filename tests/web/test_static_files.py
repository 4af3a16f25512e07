"""What is served from memory: types, tags, gzip, HEAD, 304."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.web.page import MODULES, PARTS, serve_chat_js, serve_page
from gateway.web.static_files import has_tag, takes_gzip

BUDGET_BYTES = 40 * 1024
FILES = [*(f"/{name}" for name in MODULES if name.endswith(".js")), *(f"/page/{name}" for name in PARTS), "/"]


@pytest.fixture(params=["", "/apps/chat"])
async def served(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The address of everything, below a prefix or none."""
    app = web.Application()
    serve_chat_js(app, request.param)
    serve_page(app, request.param, "/socket.io", "off")
    async with TestServer(app) as server:
        yield f"{server.make_url('')}".rstrip("/") + request.param


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session


async def test_every_file_is_there_and_all_of_them_fit_the_budget(
    served: str, client: aiohttp.ClientSession
) -> None:
    sizes = {}
    for path in FILES:
        async with client.get(f"{served}{path}", headers={"Accept-Encoding": "gzip"}) as response:
            assert (path, response.status, response.headers["Content-Encoding"]) == (path, 200, "gzip")
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            sizes[path] = len(await response.read())
    assert sum(sizes.values()) <= BUDGET_BYTES, sizes


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html"), ("/chat.js", "text/javascript"), ("/chat.d.ts", "text/plain"),
        ("/page/style.css", "text/css"), ("/page/icon.svg", "image/svg+xml"),
    ],
)  # fmt: skip
async def test_types_are_right(served: str, client: aiohttp.ClientSession, path: str, kind: str) -> None:
    async with client.get(f"{served}{path}") as response:
        assert response.content_type == kind


async def test_what_the_browser_has_is_not_sent_again(served: str, client: aiohttp.ClientSession) -> None:
    for coding in ("gzip", "identity"):
        async with client.get(f"{served}/chat.js", headers={"Accept-Encoding": coding}) as response:
            tag, body = response.headers["ETag"], await response.read()
            assert response.headers["Cache-Control"] == "max-age=0, must-revalidate"
            assert response.headers["Vary"] == "Accept-Encoding"
        headers = {"Accept-Encoding": coding, "If-None-Match": f'"other", W/{tag}'}
        async with client.get(f"{served}/chat.js", headers=headers) as response:
            assert (response.status, await response.read(), response.headers["ETag"]) == (304, b"", tag)
        async with client.head(f"{served}/chat.js", headers={"Accept-Encoding": coding}) as response:
            assert (response.status, int(response.headers["Content-Length"])) == (200, len(body))
            assert response.headers["ETag"] == tag
        plain = gzip.decompress(body) if coding == "gzip" else body
        assert b"export function connect" in plain


async def test_other_pages_may_import_the_module_and_nothing_else(
    served: str, client: aiohttp.ClientSession
) -> None:
    async with client.get(f"{served}/chat.js") as response:
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert "Content-Security-Policy" not in response.headers
    for path in ("/", "/page/main.js"):
        async with client.get(f"{served}{path}") as response:
            assert "Access-Control-Allow-Origin" not in response.headers
            policy = response.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'self';")
            assert "unsafe" not in policy
            assert response.headers["X-Frame-Options"] == "DENY"


async def test_a_prefix_without_its_slash_leads_to_the_page(client: aiohttp.ClientSession) -> None:
    app = web.Application()
    serve_page(app, "/apps/chat", "/socket.io", "off")
    async with TestServer(app) as server:
        async with client.get(server.make_url("/apps/chat"), allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (308, "chat/")
        async with client.get(server.make_url("/apps/chat")) as response:
            assert (response.status, response.url.path) == (200, "/apps/chat/")


async def test_no_other_method_is_served(served: str, client: aiohttp.ClientSession) -> None:
    async with client.post(f"{served}/chat.js", data=b"x") as response:
        assert response.status == 405


@pytest.mark.parametrize(
    ("accepted", "is_taken"),
    [
        ("gzip", True), ("br, GZIP;q=0.5", True), ("*", True), ("", False), ("br", False), ("gzip;q=0", False),
        ("gzip; q=0.0", False), ("x-gzip-not", False), (",;,", False),
    ],
)  # fmt: skip
def test_who_takes_gzip(accepted: str, is_taken: bool) -> None:
    assert takes_gzip(accepted) is is_taken


@pytest.mark.parametrize(
    ("asked", "is_there"),
    [
        ('"a"', True),
        ('"b", "a"', True),
        ('W/"a"', True),
        ("*", True),
        ("", False),
        ('"b"', False),
        ("a", False),
    ],
)
def test_tags_are_compared_as_a_browser_sends_them(asked: str, is_there: bool) -> None:
    assert has_tag(asked, '"a"') is is_there
