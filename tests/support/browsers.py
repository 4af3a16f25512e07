"""Chromium, driven by Playwright, and the gateway's page in it as a person uses it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.support.binaries import missing, program
from tests.support.waiting import until

try:
    from playwright.async_api import Browser as Browser  # test modules take these from here
    from playwright.async_api import Page as Page
    from playwright.async_api import Route as Route
    from playwright.async_api import async_playwright
    from playwright.async_api import expect as expect
except ModuleNotFoundError:
    missing("playwright is not installed (`uv sync --group browser` does that)")

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
READ = """() => [...document.querySelectorAll('#log > .message')].map((row) => ({
  id: row.dataset.id ?? null,
  name: row.querySelector('.by b').textContent,
  text: row.querySelector('.text').textContent,
  state: row.querySelector('.state').textContent,
}))"""

SIZES = """(log) => {
  const whole = document.documentElement;
  return [whole.scrollWidth, whole.scrollHeight, log.scrollWidth - log.clientWidth];
}"""
"""Of the whole page, and how much wider the messages are than their place."""


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser without a window, and with a profile of its own."""
    found = program(next(filter(shutil.which, BROWSERS), BROWSERS[0]))
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        try:
            yield browser
        finally:
            await browser.close()


class Person:
    """Somebody who has the page open."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", lambda line: self._note(line.type, line.text))
        page.on("pageerror", lambda error: self._note("error", str(error)))
        page.on("dialog", lambda dialog: self._note("error", f"a dialog: {dialog.message}"))

    def _note(self, kind: str, text: str) -> None:
        is_a_broken_connection = "WebSocket connection" in text or "net::ERR" in text
        if kind == "error" and not is_a_broken_connection:
            self.complaints.append(text)

    @classmethod
    async def comes(
        cls, browser: Browser, url: str, name: str | None, room: str, token: str | None = None, **more: Any
    ) -> Person:
        """Opens the page in a profile of its own, and is in the room when this returns. A token says the name."""
        context = await browser.new_context(**more)
        person = cls(await context.new_page())
        await person.page.goto(url)
        if token is not None:
            await person.shows_token_and_enters(token, room)
        elif name is not None:
            await person.enters(name, room)
        return person

    async def enters(self, name: str, room: str) -> None:
        """Fills in who it is, and waits until the room says who is here."""
        await self.page.fill("#name", name)
        await self.page.fill("#room", room)
        await self.page.click("#enter .primary")
        await self.is_here()

    async def shows_token_and_enters(self, token: str, room: str) -> None:
        """As `enters`, where a token says who it is."""
        await self.page.fill("#room", room)
        await self.page.fill("#token", token)
        await self.page.click("#enter .primary")
        await self.is_here()

    async def is_here(self) -> None:
        """Waits until the room says who is here."""
        await self.page.locator("#about", has_text="here").wait_for(timeout=20_000)

    async def says(self, text: str) -> None:
        """Types a message, and presses Enter."""
        await self.page.fill("#text", text)
        await self.page.press("#text", "Enter")

    async def log(self) -> list[dict[str, Any]]:
        """The messages on the screen, top to bottom."""
        found: list[dict[str, Any]] = await self.page.evaluate(READ)
        return found

    async def sees(self, count: int, limit_s: float = 20.0) -> list[dict[str, Any]]:
        """Waits until so many messages are on the screen, all of them stored."""
        shown: list[dict[str, Any]] = []

        async def are_there() -> bool:
            shown[:] = await self.log()
            return len(shown) >= count and all(each["id"] for each in shown)

        try:
            await until(are_there, limit_s, f"{count} messages on the screen")
        except AssertionError as late:
            raise AssertionError(f"{late}: {shown}; {self.complaints}") from late
        return shown
