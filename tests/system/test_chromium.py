"""The stock client in a real browser, which offers compression and obeys CORS, by each way of connecting."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web

from tests.support.binaries import program
from tests.support.gateways import Gateway
from tests.support.opener import Opener
from tests.support.stock_clients import JS_FOLDER, TRANSPORTS
from tests.support.waiting import until

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
LIMIT_S = 80.0
TEXTS = ["short", "beyond ASCII: € 😀", "long enough to be compressed: " + "abcdefgh" * 400]


class Page:
    """The page's own server: serves it and the client, and takes the page's report."""

    def __init__(self) -> None:
        self.report: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.url = ""

    async def _take(self, request: web.Request) -> web.Response:
        self.report.set_result(json.loads(await request.read()))
        return web.Response()

    async def _page(self, request: web.Request) -> web.FileResponse:
        return web.FileResponse(JS_FOLDER / "browser.html")

    async def _client(self, request: web.Request) -> web.FileResponse:
        return web.FileResponse(JS_FOLDER / "node_modules/socket.io-client/dist/socket.io.min.js")

    @asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        """Serves on a port from the kernel, another origin than the gateway's."""
        app = web.Application()
        app.router.add_get("/", self._page)
        app.router.add_get("/socket.io.min.js", self._client)
        app.router.add_post("/report", self._take)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
            yield
        finally:
            await runner.cleanup()


@asynccontextmanager
async def browser(url: str) -> AsyncIterator[None]:
    """Chromium with one page, in a process group and with a profile of its own."""
    found = next(filter(shutil.which, BROWSERS), BROWSERS[0])
    profile = Path(tempfile.mkdtemp(prefix="chromium-"))
    process = await asyncio.create_subprocess_exec(
        program(found), *FLAGS, f"--user-data-dir={profile}", url,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it ended by itself
        await process.wait()
        shutil.rmtree(profile, ignore_errors=True)


async def talk(gateway: Gateway, room: str, connect: Opener) -> tuple[list[dict[str, Any]], list[list[str]]]:
    """Lets the browser's three sockets and a member talk; what each socket saw, and what the member saw."""
    other = await connect(gateway.url)
    await other.join("other", room)
    await other.send(room, TEXTS[-1])
    task = {
        "url": gateway.url, "room": room, "ways": TRANSPORTS, "texts": TEXTS,
        "expects": 1 + len(TRANSPORTS) * len(TEXTS),
    }  # fmt: skip
    page = Page()
    async with page.served(), browser(page.url + "#" + quote(json.dumps(task))):
        told = await asyncio.wait_for(page.report, LIMIT_S)
    await until(lambda: len(other.ids(room)) == task["expects"], what="the other has all messages")
    assert isinstance(told, list), told
    return told, [[data["id"], data["username"], data["message"]] for data in other.received if "id" in data]


@pytest.mark.parametrize("compression", ["off", "on"])
async def test_the_browser_talks_by_every_way(
    javascript: None, redis_url: str, room: str, connect: Opener, compression: str
) -> None:
    async with Gateway(redis_url, workers=2, GATEWAY_COMPRESSION=compression) as gateway:
        told, truth = await talk(gateway, room, connect)
        assert "Traceback" not in gateway.log()
    assert [each["way"] for each in told] == list(TRANSPORTS)
    for each in told:
        assert each["received"] == truth, "every message once, in the room's one order"
        assert (each["errors"], each["connects"], each["left"]) == ([], 1, {"ok": True})
        own = [position for position, username, _ in truth if username == each["way"]]
        assert [answer["id"] for answer in each["sent"]] == own
        assert each["transport"] == TRANSPORTS[each["way"]][-1]
        is_compressed = compression == "on" and each["transport"] == "websocket"
        assert ("permessage-deflate" in each["extensions"]) is is_compressed
