"""The component of docs/examples/react.jsx, made by esbuild into somebody's application, in two tabs of Chromium."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from urllib.parse import urlencode

import pytest
from aiohttp import web

from gateway.server.app import build_app
from tests.support.browsers import Browser, Page
from tests.support.identified import with_secrets
from tests.support.serving import serving, settings
from tests.support.stock_clients import JS_FOLDER
from tests.support.tokens import signed

pytestmark = [
    pytest.mark.system,
    pytest.mark.asyncio(loop_scope="session"),  # the browser's
    pytest.mark.usefixtures("javascript", "pages_are_closed"),
]
REDACT = "([room, id]) => window.chat.ask('redact', { room, id })"


async def bundled(to: Path) -> str:
    """The application as a browser loads it."""
    compiler = await asyncio.create_subprocess_exec(
        JS_FOLDER / "node_modules/.bin/esbuild", "react_app.jsx", "--bundle", "--format=esm", "--jsx=automatic",
        '--define:process.env.NODE_ENV="production"', "--log-level=warning", f"--outfile={to}",
        cwd=JS_FOLDER, env={"NODE_PATH": "node_modules"}, stderr=subprocess.PIPE,
    )  # fmt: skip
    _, said = await asyncio.wait_for(compiler.communicate(), 60)
    assert (compiler.returncode, said.decode()) == (0, "")
    return to.read_text()


def site(code: str) -> web.Application:
    """Somebody's web server."""

    async def page(request: web.Request) -> web.Response:
        return web.Response(text='<script type="module" src="app.js"></script>', content_type="text/html")

    async def script(request: web.Request) -> web.Response:
        return web.Response(text=code, content_type="text/javascript")

    app = web.Application()
    app.router.add_get("/", page)
    app.router.add_get("/app.js", script)
    return app


async def tab(browser: Browser, address: str, gateway: str, room: str, **claims: str) -> Page:
    """A tab of a user who has the right to redact, and is in the room when this returns."""
    rights = {room: ["join", "send", "moderate"]}
    asked = {"gateway": gateway, "room": room, "token": signed(kid="one", rooms=rights, **claims)}
    page = await browser.new_page()
    page.set_default_timeout(20_000)
    await page.goto(f"{address}?{urlencode(asked)}")
    await page.wait_for_function("room => window.chat?.room(room).state === 'joined'", arg=room)
    return page


async def test_two_tabs_chat_and_a_redacted_message_shows_as_such(
    redis_url: str, room: str, browser: Browser, tmp_path: Path
) -> None:
    app = build_app(settings(redis_url, GATEWAY_ORIGINS="*", **with_secrets(tmp_path)))
    code = await bundled(tmp_path / "app.js")
    async with serving(app) as gateway, serving(site(code)) as address:
        ada = await tab(browser, address, gateway, room, sub="ada", name="Ada")
        bob = await tab(browser, address, gateway, room, sub="bob", name="Bob")
        await ada.locator("input").press_sequentially("Hello <b>Bob</b>")
        await bob.locator("p", has_text="Ada …").wait_for()
        await ada.locator("input").press("Enter")
        await bob.locator("li", has_text="Ada Hello <b>Bob</b>").wait_for()
        await bob.locator("input").fill("Hello Ada")
        await bob.locator("input").press("Enter")
        await ada.locator("li[data-state=sent]", has_text="Bob Hello Ada").wait_for()
        said = await ada.evaluate("room => window.chat.room(room).messages[0].id", room)
        assert (await bob.evaluate(REDACT, [room, said]))["ok"]
        for page in (ada, bob):
            await page.locator("li:first-child i", has_text="removed").wait_for()
            assert await page.locator("li").all_inner_texts() == ["Ada removed", "Bob Hello Ada"]
        await ada.locator("input").fill("x" * 5000)
        await ada.locator("input").press("Enter")
        await ada.locator("[role=alert] button", has_text="Discard").click()
        await ada.locator("li", has_text="xxx").wait_for(state="detached")
        assert await ada.locator("li").count() == 2
