"""What is served from memory: types, tags, names by content, what it is compressed to, HEAD, 304."""

from __future__ import annotations

import gzip
import re
from collections.abc import AsyncIterator

import aiohttp
import brotli
import pytest
import yarl
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.web.assets import Assets
from gateway.web.page import ASSETS, FOLDER, serve_chat_js, serve_page
from gateway.web.static_files import StaticFile, best_coding, has_tag

BUDGET_BYTES = 40 * 1024
BEFORE_IT_PAINTS_BYTES = 6 * 1024
FILES = ["/", *(f"/{path}" for path in Assets(FOLDER, ASSETS, {}).paths.values())]
STYLE, ICON, *_ = FILES[1:]
NAMED = re.compile(r"""(?:\bfrom '|\b(?:src|href)=")([^'"]+)""")


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
    assert sizes["/"] + sizes[STYLE] <= BEFORE_IT_PAINTS_BYTES, sizes


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html"), ("/chat.js", "text/javascript"), ("/chat.d.ts", "text/plain"),
        (STYLE, "text/css"), (ICON, "image/svg+xml"), (FILES[-1], "text/javascript"),
    ],
)  # fmt: skip
async def test_types_are_right(served: str, client: aiohttp.ClientSession, path: str, kind: str) -> None:
    async with client.get(f"{served}{path}") as response:
        assert response.content_type == kind


async def test_what_the_browser_has_is_not_sent_again(served: str, client: aiohttp.ClientSession) -> None:
    for coding in ("br, gzip", "gzip", "identity"):
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
        plain = {"gzip": gzip.decompress, "br, gzip": brotli.decompress}.get(coding, bytes)(body)
        assert b"export function connect" in plain


async def test_other_pages_may_import_the_module_and_nothing_else(
    served: str, client: aiohttp.ClientSession
) -> None:
    async with client.get(f"{served}/chat.js") as response:
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert "Content-Security-Policy" not in response.headers
    for path in ("/", FILES[-1]):
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
    ("accepted", "coding"),
    [
        ("gzip", "gzip"), ("br, GZIP;q=0.5", "br"), ("gzip, deflate, br, zstd", "br"), ("*", "br"), ("", None),
        ("br", "br"), ("br;q=0, gzip", "gzip"), ("gzip;q=0", None), ("gzip; q=0.0, *", "br"),
        ("br;q=0, gzip;q=0, *", None), ("x-gzip-not", None), (",;,", None),
    ],
)  # fmt: skip
def test_what_a_browser_takes_best(accepted: str, coding: str | None) -> None:
    assert best_coding(accepted, ("br", "gzip")) == coding


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


async def test_what_is_named_by_its_content_is_kept_for_ever(
    served: str, client: aiohttp.ClientSession
) -> None:
    for path in FILES[1:]:
        for coding, encoding in (("gzip, br", "br"), ("gzip", "gzip"), ("identity", None)):
            headers = {"Accept-Encoding": coding}
            async with client.get(f"{served}{path}", headers=headers) as response:
                assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
                assert response.headers.get("Content-Encoding") == encoding or path == ICON
                tag, body = response.headers["ETag"], await response.read()
            async with client.head(f"{served}{path}", headers=headers) as response:
                assert (response.status, int(response.headers["Content-Length"])) == (200, len(body))
            async with client.get(f"{served}{path}", headers={**headers, "If-None-Match": tag}) as response:
                assert (response.status, response.headers["ETag"]) == (304, tag)


async def test_the_page_and_its_modules_name_nothing_by_another_address(
    served: str, client: aiohttp.ClientSession
) -> None:
    named: set[str] = set()
    for path in FILES:
        async with client.get(f"{served}{path}", headers={"Accept-Encoding": "identity"}) as response:
            text = await response.text()
            base = yarl.URL(f"/{'assets/' if path != '/' else ''}")
            named |= {str(base.join(yarl.URL(each))) for each in NAMED.findall(text)}
            if path == "/":
                assert response.headers["Link"] == f"<{STYLE[1:]}>; rel=preload; as=style"
    assert named == set(FILES[1:])


async def test_a_name_of_another_release_gets_the_file_of_this_one_to_be_asked_for_again(
    served: str, client: aiohttp.ClientSession
) -> None:
    for path in FILES[1:]:
        stem, _, kind = path.split(".")
        async with client.get(f"{served}{stem}.{'0' * 12}.{kind}") as response:
            assert (response.status, response.headers["Cache-Control"]) == (200, "max-age=0, must-revalidate")
    for path in (
        "/assets/main.js",
        "/assets/other.000000000000.js",
        "/assets/main.000000000000.css",
        "/assets/",
    ):
        async with client.get(f"{served}{path}") as response:
            assert response.status == 404


async def test_without_its_package_there_is_no_brotli_and_all_else_is_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_it = StaticFile(b"x" * 1000, "text/plain")
    monkeypatch.setattr("gateway.web.static_files.BROTLI", None)
    without = StaticFile(b"x" * 1000, "text/plain")
    assert [*with_it.bodies] == ["br", "gzip"]
    assert without.bodies == {"gzip": with_it.bodies["gzip"]}
    assert StaticFile(b"x", "text/plain").bodies == {}, "what gets larger is sent as it is"
