"""How soon the page is seen on a phone: a slow network and a slow processor, as Chromium pretends them."""

from __future__ import annotations

import pytest

from tests.support.browsers import Browser, chromium
from tests.support.gateways import Gateway

pytestmark = [pytest.mark.system, pytest.mark.long]

LIMIT_MS = 1_000
TIMES = 5
NETWORK = {
    "offline": False,
    "latency": 150,
    "downloadThroughput": 1.6e6 / 8,
    "uploadThroughput": 750e3 / 8,
}  # Lighthouse's "Slow 4G"
SLOWDOWN = 4  # Lighthouse's, for a phone
FIRST_PAINT_MS = """new Promise((resolve) => new PerformanceObserver((list) => {
  for (const each of list.getEntries()) if (each.name === 'first-contentful-paint') resolve(each.startTime);
}).observe({ type: 'paint', buffered: true }))"""


async def first_paint_ms(browser: Browser, url: str) -> float:
    """Of somebody who was never there: nothing is kept from another time."""
    context = await browser.new_context(
        viewport={"width": 360, "height": 640}, is_mobile=True, has_touch=True, device_scale_factor=2
    )
    page = await context.new_page()
    session = await context.new_cdp_session(page)
    await session.send("Network.enable")
    await session.send("Network.emulateNetworkConditions", NETWORK)
    await session.send("Emulation.setCPUThrottlingRate", {"rate": SLOWDOWN})
    await page.goto(url)
    found = float(await page.evaluate(FIRST_PAINT_MS))
    await page.locator("#name:focus").wait_for()  # its modules have come, too
    await context.close()
    return found


async def test_the_page_is_seen_within_a_second_on_a_slow_phone(redis_url: str) -> None:
    async with Gateway(redis_url, workers=1) as gateway, chromium() as browser:
        await first_paint_ms(browser, gateway.url)  # the browser itself has just begun
        found = sorted([await first_paint_ms(browser, gateway.url) for _ in range(TIMES)])
    print(f"\nfirst paint: {found[0]:.0f} to {found[-1]:.0f} ms, {TIMES} times")
    assert found[0] <= LIMIT_MS, (
        "the least is what the page takes; what is more, the machine was busy with others"
    )
