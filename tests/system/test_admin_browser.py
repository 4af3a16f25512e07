"""The dashboard in a real browser: it lives by one event stream, acts by its buttons, and runs nobody's script."""

from __future__ import annotations

import pytest

from tests.support.backends import key_for
from tests.support.browsers import Page, chromium
from tests.support.gateways import Gateway
from tests.support.opener import Opener
from tests.support.servers import Valkey
from tests.support.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.long]

LIMIT_MS = 20_000
HOSTILE = "<img src=x onerror=alert(1)><script>alert(1)</script>"


class Seen:
    """What a page complained of, and asked."""

    def __init__(self, page: Page) -> None:
        self.complaints: list[str] = []
        self.questions: list[str] = []
        page.on("console", lambda line: self.complaints.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.questions.append(dialog.message))


async def sign_in(page: Page, url: str, key: str) -> None:
    await page.goto(f"{url}/admin")
    await page.fill("#key", key)
    await page.click("form.sign-in button")
    await page.locator("#dot.live").wait_for(timeout=LIMIT_MS)


async def test_the_dashboard_lives_and_acts_in_a_browser(server: Valkey, room: str, connect: Opener) -> None:
    key, variable = key_for("ops")
    async with Gateway(server.url, 2, GATEWAY_API_KEYS=variable) as gateway, chromium() as browser:
        ann = await connect(gateway.url)
        assert (await ann.join("ann <b onclick=alert(1)>", room))["ok"]
        page = await browser.new_page(viewport={"width": 320, "height": 800})
        seen = Seen(page)
        await sign_in(page, gateway.url, key)
        await page.locator("article.worker").nth(1).wait_for(timeout=LIMIT_MS)
        assert await is_no_wider(page)
        bob = await connect(gateway.url)
        await bob.join("bob", room + HOSTILE)
        await page.locator(f'[data-live="rooms"] a:has-text("{room}<img")').wait_for(
            timeout=LIMIT_MS
        )  # by the stream
        await page.click(f'[data-live="rooms"] a[href$="={room}"]', timeout=LIMIT_MS)
        await ann.send(room, HOSTILE)
        await page.locator(".messages p", has_text=HOSTILE).wait_for(timeout=LIMIT_MS)
        assert await is_no_wider(page)
        assert seen.questions == []
        page.on("dialog", lambda dialog: dialog.accept())
        await page.click(".messages button")
        await page.locator(".said", has_text="Redacted.").wait_for(timeout=LIMIT_MS)
        assert await page.locator(".messages p").all_inner_texts() == ["redacted"]
        await until(lambda: any(name == "changed" for name, _ in ann.arrivals), what="members are told")
        assert seen.questions == ["Take the text of this message away for everybody?"]
        assert seen.complaints == []


async def is_no_wider(page: Page) -> bool:
    """Whether nothing has to be scrolled sideways."""
    return bool(await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))
