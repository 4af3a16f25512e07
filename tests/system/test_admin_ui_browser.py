"""The official Socket.IO Admin UI itself, in a browser and from an origin of its own: it shows all workers."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from tests.support.backends import key_for
from tests.support.browsers import Page, Route, chromium
from tests.support.gateways import Gateway
from tests.support.opener import Opener
from tests.support.servers import Valkey
from tests.support.serving import serving
from tests.support.stock_clients import JS_FOLDER

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.usefixtures("javascript")]

LIMIT_MS = 20_000
FILES = JS_FOLDER / "node_modules" / "@socket.io" / "admin-ui" / "ui" / "dist"
PICTURES = os.environ.get("PICTURES")
"""A folder for pictures of it."""


async def stay_here(route: Route) -> None:
    """Its page asks others for fonts and icons; nothing leaves this machine."""
    await (route.continue_() if route.request.url.startswith("http://127.0.0.1") else route.abort())


async def sign_in(page: Page, url: str, password: str) -> None:
    await page.get_by_label("Server URL").fill(url)
    await page.get_by_label("Username").fill("me")
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Connect").click()


async def row_says(page: Page, card: str, row: str, number: int, limit_ms: float = LIMIT_MS) -> None:
    """Waits until a row of a card of the overview has a number."""
    title = page.locator(".v-card__title", has_text=card)
    shown = (
        page.locator(".v-card")
        .filter(has=title)
        .get_by_role("row")
        .filter(has=page.get_by_text(row, exact=True))
    )
    await shown.locator("h2", has_text=re.compile(rf"^\s*{number}\s*$")).wait_for(timeout=limit_ms)


async def picture(page: Page, name: str) -> None:
    if PICTURES:
        await page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)


@asynccontextmanager
async def opened(server: Valkey, origins: str | None = None) -> AsyncIterator[tuple[Page, Gateway, str]]:
    """The UI, served from an origin that may connect, at a gateway with three workers; and the key for it."""
    app = web.Application()
    app.router.add_static("/ui", FILES)
    key, variable = key_for("ops")
    environment = {"GATEWAY_ADMIN_UI": "on", "GATEWAY_API_KEYS": variable}
    async with serving(app) as origin, chromium() as browser:
        environment["GATEWAY_ORIGINS"] = origins or origin
        async with Gateway(server.url, 3, environment=environment) as gateway:
            page = await browser.new_page(viewport={"width": 1440, "height": 1000})
            await page.route("**/*", stay_here)
            await page.goto(f"{origin}/ui/index.html")
            yield page, gateway, key
            assert "Traceback" not in gateway.log()
            assert key not in gateway.log()


async def test_the_ui_shows_all_workers_and_their_clients(server: Valkey, room: str, connect: Opener) -> None:
    async with opened(server) as (page, gateway, key):
        for name in ("ann", "bob"):
            await (await connect(gateway.url)).join(name, room)
        await sign_in(page, gateway.url, "gwk_wrong")
        await page.get_by_text("Invalid credentials").wait_for(timeout=LIMIT_MS)
        await sign_in(page, gateway.url, key)
        await page.get_by_role("dialog").wait_for(state="hidden", timeout=LIMIT_MS)
        await shows_all(page)
        await page.reload()  # by the session's id
        await shows_all(page)
        await picture(page, "admin-ui-overview")
        await page.get_by_role("link", name="Servers").click()
        rows = page.locator("tbody tr")
        await rows.nth(2).wait_for(timeout=LIMIT_MS)
        assert await rows.count() == 3
        shown = " ".join(await rows.all_inner_texts())
        assert all(name in shown for name in await gateway.worker_names())
        assert all(str(pid) in shown for pid in gateway.worker_pids())
        await picture(page, "admin-ui-servers")


async def shows_all(page: Page) -> None:
    """Three servers that are up; two clients and the UI itself."""
    await row_says(page, "Servers", "Healthy", 3)
    await row_says(page, "Clients", "WebSocket", 3)
    assert await page.get_by_text("/admin", exact=True).count() == 1


async def test_the_ui_comes_back_when_its_worker_is_killed_and_shows_who_is_gone(server: Valkey) -> None:
    async with opened(server) as (page, gateway, key):
        await sign_in(page, gateway.url, key)
        await row_says(page, "Servers", "Healthy", 3)
        await row_says(page, "Clients", "WebSocket", 1)
        for pid in gateway.worker_pids():
            os.kill(pid, signal.SIGKILL)
        await row_says(page, "Servers", "Unhealthy", 3, 40_000)
        await row_says(page, "Servers", "Healthy", 3)
        await row_says(page, "Clients", "WebSocket", 1)
        await picture(page, "admin-ui-killed")


async def test_with_any_origin_the_ui_connects_by_websocket_only_as_the_page_says(server: Valkey) -> None:
    async with opened(server, "*") as (page, gateway, key):
        await sign_in(page, gateway.url, key)
        await page.get_by_text("xhr poll error").wait_for(timeout=LIMIT_MS)
        await page.get_by_text("Advanced options").click()
        await page.get_by_text("WebSocket only?").click()
        await page.get_by_role("button", name="Connect").click()
        await row_says(page, "Clients", "WebSocket", 1)
