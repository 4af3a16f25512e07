"""What the page shows of what happens to messages and rights, and that it serves whoever has no mouse, a narrow screen,
or colours of their own. Tokens name the people here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from gateway.server.app import build_app
from tests.support.browsers import SIZES, Browser, Person, expect
from tests.support.clients import Member
from tests.support.gateways import WITHOUT_LIMITS
from tests.support.identified import with_secrets
from tests.support.serving import serving, settings
from tests.support.tokens import signed
from tests.support.waiting import until
from tests.system.faults.proxy import Proxy

pytestmark = [
    pytest.mark.system,
    pytest.mark.asyncio(loop_scope="session"),  # the browser's
    pytest.mark.usefixtures("pages_are_closed"),
]

FOCUSED = """() => {
  const at = document.activeElement, style = getComputedStyle(at);
  const name = at.id || at.getAttribute('aria-label') || at.textContent.trim();
  const isOutlined = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
  return [at === document.body ? 'BODY' : name, at.checkVisibility() && isOutlined];
}"""
"""Where the keyboard is, and whether that can be seen."""
RULES = """
[[room]]
match = "receipts:*"
join = "anyone"
receipts = true

[[room]]
match = "**"
join = "anyone"
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def url(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    folder = tmp_path_factory.mktemp("gateway")
    (folder / "gateway.toml").write_text(RULES)
    options = {
        **WITHOUT_LIMITS, **with_secrets(folder), "GATEWAY_PAGE": "on", "GATEWAY_USER_SENDS_PER_S": "0",
        "GATEWAY_CONFIG": str(folder / "gateway.toml"),
    }  # fmt: skip
    async with serving(build_app(settings(redis_url, **options))) as url:
        yield url


async def comes(browser: Browser, url: str, room: str, user: str = "ada", **more: Any) -> Person:
    """A user on a device, in the room."""
    token = signed(kid="one", sub=user, name=user.title())
    return await Person.comes(browser, url, None, room, token=token, **more)


async def moderator(url: str, room: str) -> Member:
    token = signed(kid="one", sub="mod", name="Mod", rooms={room: ["join", "send", "moderate"]})
    member = await Member.connect(url, auth={"token": token})
    await member.call("join", {"room": room})
    return member


# -- messages


async def test_a_redacted_message_shows_as_such_at_once_and_to_who_was_away(
    url: str, room: str, browser: Browser
) -> None:
    async with Proxy(int(url.rpartition(":")[2])) as proxy, await moderator(url, room) as mod:
        ada = await comes(browser, url, room)
        bob = await comes(browser, f"http://127.0.0.1:{proxy.port}", room, "bob")
        for text in ("said in anger", "said in rage", "said in peace"):
            await ada.says(text)
        await bob.sees(3)
        ids = [each["id"] for each in await ada.sees(3)]
        await mod.call("redact", {"room": room, "id": ids[0]})
        for person in (ada, bob):
            await expect(person.page.locator(".is-redacted .text")).to_have_text(
                ["This message was removed."]
            )
        proxy.swallow()
        await mod.call("redact", {"room": room, "id": ids[1]})
        await expect(ada.page.locator(".is-redacted")).to_have_count(2)
        proxy.cut()
        proxy.forward()
        await expect(bob.page.locator(".is-redacted")).to_have_count(2, timeout=20_000)
        for person in (ada, bob):
            shown = [each["text"] for each in await person.log()]
            assert shown == ["This message was removed."] * 2 + ["said in peace"]
            assert "anger" not in await person.page.content()
            assert person.complaints == []


async def two_devices_with_three_unread(
    url: str, room: str, browser: Browser
) -> tuple[Person, Person, Person]:
    """Both are looking at another room; Bob, who is the third, has spoken."""
    desk, phone = [await comes(browser, url, room) for _ in range(2)]
    bob = await comes(browser, url, room, "bob")
    for person in (desk, phone):
        await person.page.fill("#new-room", f"{room}-2")
        await person.page.press("#new-room", "Enter")
        await person.is_here()
    for text in ("one", "two", "three"):
        await bob.says(text)
    for person in (desk, phone):
        await expect(person.page.locator("#rooms .badge:visible")).to_have_text("3")
    return desk, phone, bob


@pytest.mark.long
async def test_what_was_read_on_one_device_is_read_on_the_other_once_it_is_looked_at(
    url: str, room: str, browser: Browser
) -> None:
    desk, phone, _ = await two_devices_with_three_unread(url, room, browser)
    await desk.page.locator("#rooms button").first.click()
    await desk.sees(3)
    async with await Member.connect(url, auth={"token": signed(kid="one")}) as third:

        async def is_marked() -> bool:
            answer = await third.call("unread", {"rooms": [room]})
            return bool(answer["rooms"][room]["unread"] == 0)

        await until(is_marked, what="the gateway has the mark")
    await phone.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await expect(phone.page.locator("#rooms .badge:visible")).to_have_count(0)
    await phone.page.reload()
    await phone.shows_token_and_enters(signed(kid="one"), f"{room}-2")
    await expect(phone.page.locator("#rooms li")).to_have_count(2)
    await expect(phone.page.locator("#rooms .badge:visible")).to_have_count(0)


@pytest.mark.long
async def test_where_marks_are_told_it_is_read_on_the_other_at_once(
    url: str, room: str, browser: Browser
) -> None:
    desk, phone, bob = await two_devices_with_three_unread(url, f"receipts:{room}", browser)
    await desk.page.locator("#rooms button").first.click()
    await desk.sees(3)
    await expect(phone.page.locator("#rooms .badge:visible")).to_have_count(0)
    assert await phone.page.title() == f"receipts:{room}-2 · Chat"
    await bob.says("four")
    await desk.sees(4)
    await expect(phone.page.locator("#rooms .badge:visible")).to_have_count(0)


async def test_an_own_message_is_sending_then_sent(url: str, room: str, browser: Browser) -> None:
    async with Proxy(int(url.rpartition(":")[2])) as proxy:
        ada = await comes(browser, f"http://127.0.0.1:{proxy.port}", room)
        proxy.swallow_answers()
        await ada.says("on its way")
        await expect(ada.page.locator(".message .state")).to_have_text("Sending")
        before = await ada.page.locator(".message").element_handle()
        proxy.forward()
        await expect(ada.page.locator(".message .state")).to_have_text("Sent")
        assert before is not None
        assert await before.evaluate("row => row.isConnected"), "the element stayed, so nothing jumped"


async def test_a_refused_message_says_why_and_can_be_said_again_or_discarded(
    url: str, room: str, browser: Browser
) -> None:
    ada = await comes(browser, url, room)
    async with await moderator(url, room) as mod:
        await mod.call("mute", {"room": room, "user": "ada", "for_s": 600})
        for text in ("first", "second"):
            await ada.says(text)
        trouble = ada.page.locator(".trouble")
        await expect(trouble).to_have_count(2)
        assert "You may not speak" in await trouble.first.inner_text()
        await trouble.last.get_by_text("Discard").click()
        await expect(trouble).to_have_count(1)
        await trouble.get_by_text("Retry").click()
        await expect(trouble).to_have_count(1)
        await mod.call("unmute", {"room": room, "user": "ada"})
        await trouble.get_by_text("Retry").click()
        shown = await ada.sees(1)
        assert [(each["text"], each["state"]) for each in shown] == [("first", "Sent")]
        await expect(trouble).to_have_count(0)
        assert mod.messages(room) == ["first"]


async def test_a_line_stands_where_messages_were_missed(url: str, room: str, browser: Browser) -> None:
    async with Proxy(int(url.rpartition(":")[2])) as proxy, await moderator(url, room) as mod:
        ada = await comes(browser, f"http://127.0.0.1:{proxy.port}", room)
        await ada.says("seen")
        await ada.sees(1)
        proxy.swallow()
        for number in range(130):
            await mod.send(room, f"text {number}")
        proxy.cut()
        proxy.forward()
        await ada.sees(50)
        await ada.page.evaluate("document.querySelector('#scroll').scrollTop = 0")
        line = ada.page.locator("#log li:has(+ .message[data-id$=':32'])")
        await expect(line).to_have_text("Some messages were missed here", timeout=20_000)
        await ada.page.evaluate("document.querySelector('#scroll').scrollTop = 0")
        shown = await ada.sees(100)
        assert [each["text"] for each in shown] == [f"text {number}" for number in range(30, 130)]
        await mod.send(room, "and on")
        await until(lambda: _shows(ada, "and on"), what="what comes next is shown below")


async def _shows(person: Person, text: str) -> bool:
    return bool((await person.log())[-1]["text"] == text)


@pytest.mark.long
async def test_who_comes_in_shows_a_token_that_counts(url: str, room: str, browser: Browser) -> None:
    page = await browser.new_page()
    await page.goto(url)
    await expect(page.locator("#token")).to_be_visible()
    await page.fill("#room", room)
    await page.press("#room", "Enter")
    assert await page.evaluate("document.querySelector('#token').validity.valueMissing")
    assert await page.is_visible("#start")
    for wrong in ("no token at all", signed(kid="one", exp=1, iat=0)):
        await page.fill("#token", wrong)
        await page.click("#enter .primary")
        await expect(page.locator("#refused")).to_be_visible()
        await expect(page.locator("#refused")).not_to_be_empty()
        await expect(page.locator("#enter .primary")).to_be_enabled()
    await page.fill("#token", signed(kid="one"))
    await page.click("#enter .primary")
    await expect(page.locator("#about")).to_have_text("Only you are here")
    await expect(page.locator("#me")).to_have_text("Ada")
    kept = await page.evaluate(
        "JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])"
    )
    assert signed(kid="one")[:20] not in kept, "a token is kept nowhere"


# -- people


async def test_everything_is_reached_and_done_by_the_keyboard_alone(
    url: str, room: str, browser: Browser
) -> None:
    page = await browser.new_page(viewport={"width": 1280, "height": 800})
    await page.goto(url)
    await expect(page.locator("#name")).to_be_focused()
    keys = page.keyboard
    for text in ("Tab", "Control+A", room, "Tab", signed(kid="one"), "Tab", "Enter"):
        await (keys.press(text) if text in ("Tab", "Enter", "Control+A") else keys.insert_text(text))
    ada = Person(page)
    await ada.is_here()
    await expect(page.locator("#text")).to_be_focused()
    await keys.type("by keyboard")
    await keys.press("Shift+Enter")
    await keys.type("on two lines")
    await keys.press("Enter")
    assert [each["text"] for each in await ada.sees(1)] == ["by keyboard\non two lines"]
    reached = []
    for _ in range(12):
        await keys.press("Tab")
        name, is_seen = await page.evaluate(FOCUSED)
        assert is_seen or name == "BODY", name
        reached.append(name)
    wanted = ["Send", "hide-people", "sign-out", room, "new-room", "show-people", "leave", "scroll", "text"]
    assert [each for each in wanted if not any(name.startswith(each) for name in reached)] == [], reached
    await keys.press("Escape")
    await expect(page.locator("#people")).to_be_hidden()
    await expect(page.locator("#text")).to_be_focused()
    await page.focus("#new-room")
    await keys.type(f"{room}-2")
    await keys.press("Enter")
    await expect(page.locator("#title")).to_have_text(f"{room}-2")
    await keys.press("Alt+ArrowUp")
    await expect(page.locator("#title")).to_have_text(room)
    assert [each["text"] for each in await ada.log()] == ["by keyboard\non two lines"]


@pytest.mark.long
async def test_no_view_is_larger_than_a_narrow_screen(url: str, room: str, browser: Browser) -> None:
    page = await browser.new_page(viewport={"width": 320, "height": 480})
    await page.goto(url)
    assert await page.evaluate("document.documentElement.scrollWidth") == 320, "the way in"
    ada = await comes(browser, url, f"{room}{'w' * 80}", viewport={"width": 320, "height": 480})
    log = ada.page.locator("#scroll")
    await ada.says("w" * 300)
    await ada.sees(1)
    assert await log.evaluate(SIZES) == [320, 480, 0]
    await ada.page.click("#back")
    await expect(ada.page.locator("#rooms")).to_be_visible()
    assert (await log.evaluate(SIZES))[:2] == [320, 480]
    await ada.page.click("#rooms button")
    await ada.page.click("#show-people")
    await expect(ada.page.locator("#people")).to_be_visible()
    assert (await log.evaluate(SIZES))[:2] == [320, 480]


@pytest.mark.long
async def test_nothing_moves_for_who_wants_no_motion(url: str, room: str, browser: Browser) -> None:
    async with Proxy(int(url.rpartition(":")[2])) as proxy:
        ada = await comes(browser, f"http://127.0.0.1:{proxy.port}", room)
        proxy.swallow_answers()
        await ada.says("on its way")
        clock = ada.page.locator(".is-sending .state")
        await expect(clock).to_have_count(1)
        moving = "clock => getComputedStyle(clock, '::before').animationName"
        assert await clock.evaluate(moving) == "wait"
        await ada.page.emulate_media(reduced_motion="reduce")
        assert await clock.evaluate(moving) == "none"


@pytest.mark.long
async def test_with_forced_colours_what_is_said_by_colour_is_said_by_a_line(
    url: str, room: str, browser: Browser
) -> None:
    ada = await comes(browser, url, room, forced_colors="active")
    await ada.says("hello")
    await ada.sees(1)
    drawn = """([of, before]) => {
      const style = getComputedStyle(document.querySelector(of), before);
      const hasOutline = parseFloat(style.outlineWidth) > 0 && style.outlineStyle !== 'none';
      return hasOutline || parseFloat(style.borderTopWidth) > 0;
    }"""
    for of in ("#rooms [aria-current]", "#compose .primary", ".message .avatar", "#text"):
        assert await ada.page.evaluate(drawn, [of, None]), of
    assert await ada.page.evaluate(drawn, [".rule", "::before"])
    assert (
        await ada.page.evaluate(
            "getComputedStyle(document.querySelector('.is-own .state'), '::before').content"
        )
        == '"✓"'
    )
