"""Firefox, driven by WebDriver BiDi (w3.org/TR/webdriver-bidi), and the gateway's page in it as a person uses it.

Firefox serves BiDi itself: no driver stands between. Owns the process and its profile; each person has a user context
of their own, so nothing is shared between two of them.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import aiohttp

from tests.support.binaries import program
from tests.support.browsers import READ
from tests.support.waiting import until

BROWSERS = ("firefox-esr", "firefox")
ANSWER_LIMIT_S = 30.0
START_LIMIT_S = 60.0
ENTER = "\ue007"  # as WebDriver names the key
PREFERENCES = """
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.aboutwelcome.enabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("toolkit.telemetry.enabled", false);
user_pref("app.normandy.enabled", false);
user_pref("app.update.disabledForTesting", true);
user_pref("browser.safebrowsing.malware.enabled", false);
user_pref("browser.safebrowsing.phishing.enabled", false);
user_pref("extensions.update.enabled", false);
user_pref("extensions.getAddons.cache.enabled", false);
user_pref("services.settings.server", "data:,#remote-settings-dummy/v1");
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("network.dns.disablePrefetch", true);
user_pref("network.prefetch-next", false);
user_pref("media.gmp-manager.updateEnabled", false);
user_pref("media.gmp-manager.url", "");
"""
"""It asks nobody for anything: no update, no list, no welcome."""


class Firefox:
    """One browser: `async with firefox() as browser: ada = await FirefoxPerson.comes(browser, url, "Ada", room)`."""

    def __init__(self, connection: aiohttp.ClientWebSocketResponse) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.errors: dict[str, list[str]] = {}
        """What pages complained of, by browsing context."""

    async def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command; its result. Raises RuntimeError with what Firefox says."""
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._connection.send_json({"id": number, "method": method, "params": parameters})
        return await asyncio.wait_for(self._waiting[number], ANSWER_LIMIT_S)

    async def listen(self) -> None:
        """Until Firefox has ended."""
        async for frame in self._connection:
            told = json.loads(frame.data)
            if told.get("method") == "log.entryAdded":
                self._note(told["params"])
            elif "id" in told:
                self._settle(self._waiting.pop(told["id"]), told)

    def _settle(self, waiting: asyncio.Future[dict[str, Any]], told: dict[str, Any]) -> None:
        if waiting.done():
            return  # nobody waited so long
        if told["type"] == "success":
            waiting.set_result(told["result"])
        else:
            waiting.set_exception(RuntimeError(f"{told['error']}: {told['message']}"))

    def _note(self, entry: dict[str, Any]) -> None:
        if entry["level"] == "error":
            self.errors.setdefault(entry["source"]["context"], []).append(entry["text"])


@asynccontextmanager
async def firefox() -> AsyncIterator[Firefox]:
    """A browser without a window, and with a profile of its own."""
    found = program(next(filter(shutil.which, BROWSERS), BROWSERS[0]))
    with tempfile.TemporaryDirectory(prefix="firefox-", ignore_cleanup_errors=True) as profile:
        (Path(profile) / "user.js").write_text(PREFERENCES)
        log = Path(profile) / "log"
        with log.open("wb") as said:
            process = subprocess.Popen(
                [found, "--headless", "--no-remote", "--remote-debugging-port=0", "--profile", profile, "about:blank"],
                stdout=said, stderr=said,
            )  # fmt: skip
        try:
            async with _connected(log) as browser:
                yield browser
        finally:
            process.terminate()
            try:
                await asyncio.to_thread(process.wait, 20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@asynccontextmanager
async def _connected(log: Path) -> AsyncIterator[Firefox]:
    def listens() -> re.Match[str] | None:
        return re.search(r"WebDriver BiDi listening on (ws://\S+)", log.read_text(errors="replace"))

    await until(listens, START_LIMIT_S, "Firefox listens")
    address = listens()
    assert address is not None
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{address[1]}/session", max_msg_size=0) as connection,
    ):
        browser = Firefox(connection)
        listening = asyncio.create_task(browser.listen())
        try:
            await browser.ask("session.new", capabilities={})
            await browser.ask("session.subscribe", events=["log.entryAdded"])
            yield browser
        finally:
            await connection.close()
            await listening


class FirefoxPerson:
    """Somebody who has the page open in Firefox: the same verbs as `Person`."""

    def __init__(self, browser: Firefox, context: str) -> None:
        self._browser, self._context = browser, context

    @property
    def complaints(self) -> list[str]:
        """What the page complained of, but for connections that broke."""
        return [
            each
            for each in self._browser.errors.get(self._context, [])
            if "connection" not in each and "wss://" not in each and "ws://" not in each
        ]

    @classmethod
    async def comes(cls, browser: Firefox, url: str, name: str, room: str) -> Self:
        """Opens the page in a user context of its own, and is in the room when this returns."""
        user = (await browser.ask("browser.createUserContext"))["userContext"]
        made = await browser.ask("browsingContext.create", type="tab", userContext=user)
        person = cls(browser, made["context"])
        await browser.ask("browsingContext.navigate", context=person._context, url=url, wait="complete")
        await person.evaluate(f"document.querySelector('#room').value = {json.dumps(room)}")
        await person.types("#name", name)
        await person.presses(ENTER)
        await person.is_here()
        return person

    async def evaluate(self, expression: str) -> Any:
        """What a JavaScript expression comes to, by way of JSON. Raises AssertionError where it throws."""
        answer = await self._browser.ask(
            "script.evaluate", expression=f"JSON.stringify(({expression}) ?? null)", target={"context": self._context},
            awaitPromise=True,
        )  # fmt: skip
        assert answer["type"] == "success", answer["exceptionDetails"]["text"]
        return json.loads(answer["result"]["value"])

    async def types(self, field: str, text: str) -> None:
        """Keys into a field, as a keyboard sends them."""
        await self.evaluate(f"document.querySelector({json.dumps(field)}).focus()")
        await self.presses(text)

    async def presses(self, keys: str) -> None:
        """Each key down and up, wherever the focus is."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        keyboard = {"type": "key", "id": "keyboard", "actions": actions}
        await self._browser.ask("input.performActions", context=self._context, actions=[keyboard])

    async def says(self, text: str) -> None:
        """Types a message, and presses Enter."""
        await self.types("#text", text + ENTER)

    async def is_here(self) -> None:
        """Waits until the room says who is here."""
        await self.shows("#about", "here")

    async def shows(self, element: str, text: str, limit_s: float = 20.0) -> None:
        """Waits until a text is in an element that can be seen."""
        place = f"document.querySelector({json.dumps(element)})"
        found = f"{place}?.checkVisibility() && {place}.textContent.includes({json.dumps(text)})"
        await until(lambda: self.evaluate(found), limit_s, f"{element} shows {text!r}")

    async def log(self) -> list[dict[str, Any]]:
        """The messages on the screen, top to bottom."""
        found: list[dict[str, Any]] = await self.evaluate(f"({READ})()")
        return found

    async def sees(self, count: int, limit_s: float = 20.0) -> list[dict[str, Any]]:
        """Waits until so many messages are on the screen, all of them stored."""
        shown: list[dict[str, Any]] = []

        async def are_there() -> bool:
            shown[:] = await self.log()
            return len(shown) >= count and all(each["id"] for each in shown)

        await until(are_there, limit_s, f"{count} messages on the screen of Firefox")
        return shown

    async def resizes(self, width: int, height: int) -> None:
        """As a screen of that size has it."""
        size = {"width": width, "height": height}
        await self._browser.ask("browsingContext.setViewport", context=self._context, viewport=size)

    async def picture(self, path: Path) -> None:
        """What it looks like now, as PNG."""
        answer = await self._browser.ask("browsingContext.captureScreenshot", context=self._context)
        path.write_bytes(base64.b64decode(answer["data"]))
