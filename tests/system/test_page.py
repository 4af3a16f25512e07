"""The page in Chromium: two people chat, whatever breaks; what is on the screen is what the history says."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.support.browsers import SIZES, Browser, Person, expect
from tests.support.clients import Member
from tests.support.gateways import REPOSITORY, Gateway
from tests.support.identified import with_secrets
from tests.support.stock_clients import JS_FOLDER
from tests.support.tokens import signed
from tests.support.waiting import until

pytestmark = [
    pytest.mark.system,
    pytest.mark.asyncio(loop_scope="session"),  # the browser's
    pytest.mark.usefixtures("pages_are_closed"),
]

TIMES = int(os.environ.get("KILLS", "50"))
SERIOUS = ("serious", "critical")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def gateway(redis_url: str) -> AsyncIterator[Gateway]:
    """One for the tests that break nothing."""
    async with Gateway(redis_url, workers=1) as gateway:
        yield gateway


async def history(url: str, room: str) -> list[tuple[str, str, str]]:
    async with await Member.connect(url) as reader:
        await reader.join("reader", room)
        answer = await reader.call("history", {"room": room})
    return [(each["id"], each["username"], each["message"]) for each in answer["messages"]]


async def is_on_the_screen(url: str, room: str, *people: Person) -> None:
    """What each sees are the last messages of the history: none missing, twice or at another place."""
    truth = await history(url, room)
    for person in people:
        shown = [(each["id"], each["name"], each["text"]) for each in await person.log()]
        assert shown == truth[-len(shown) :]
        assert shown
        assert person.complaints == []


async def test_two_people_chat_and_see_each_other(gateway: Gateway, room: str, browser: Browser) -> None:
    begun = time.monotonic()
    ada = await Person.comes(browser, gateway.url, "Ada", room)
    bob = await Person.comes(browser, gateway.url, "Bob", room)
    await ada.says("Hello Bob")
    await bob.sees(1)
    await bob.says("Hello Ada")
    await ada.sees(2)
    assert time.monotonic() - begun < 30
    await is_on_the_screen(gateway.url, room, ada, bob)
    assert [each["state"] for each in await ada.log()] == ["Sent", ""]
    await ada.page.locator("#about", has_text="2 people here").wait_for()
    await bob.page.locator("#text").press_sequentially("so")
    await ada.page.locator("#typing", has_text="Bob is typing").wait_for()


async def test_rooms_have_unread_counts_and_keys_change_between_them(
    gateway: Gateway, room: str, browser: Browser
) -> None:
    ada = await Person.comes(browser, gateway.url, "Ada", room)
    bob = await Person.comes(browser, gateway.url, "Bob", room)
    for person in (ada, bob):
        await person.page.fill("#new-room", f"{room}-2")
        await person.page.press("#new-room", "Enter")
        await person.is_here()
    await ada.page.keyboard.press("Alt+ArrowUp")
    assert await ada.page.text_content("#title") == room
    for text in ("one", "two"):
        await bob.says(text)
    badge = ada.page.locator("#rooms .badge:visible")
    await ada.page.locator("#rooms .badge", has_text="2").wait_for()
    assert await badge.get_attribute("aria-label") == "2 unread"
    assert (await ada.page.title()).startswith("(2) ")
    await ada.page.keyboard.press("Alt+ArrowDown")
    await ada.sees(2)
    await ada.page.locator(".rule.new").wait_for()
    await until(lambda: _is_hidden(badge), what="what is seen counts as read")
    assert ada.complaints == []


async def _is_hidden(found: Any) -> bool:
    return bool(await found.count() == 0)


async def test_the_newest_message_stays_in_view_while_what_is_written_grows(
    gateway: Gateway, room: str, browser: Browser
) -> None:
    ada = await Person.comes(browser, gateway.url, "Ada", room, viewport={"width": 320, "height": 480})
    for number in range(6):
        await ada.says(f"text {number}" + "\nand more" * 5)
    await ada.sees(6)
    await ada.page.fill("#text", "\n".join("a draft of many lines"))
    await expect(ada.page.locator(".message").last).to_be_in_viewport(ratio=1)
    await ada.page.fill("#text", "")
    await ada.page.evaluate("document.querySelector('#scroll').scrollTop = 0")
    await ada.page.fill("#text", "\n".join("who reads is left alone"))
    assert await ada.page.evaluate("document.querySelector('#scroll').scrollTop") == 0


async def test_the_history_pages_back(gateway: Gateway, room: str, browser: Browser) -> None:
    async with await Member.connect(gateway.url) as ben:
        await ben.join("ben", room)
        for number in range(90):
            await ben.send(room, f"text {number}")
    ada = await Person.comes(browser, gateway.url, "Ada", room)
    await ada.sees(50)
    await ada.page.evaluate("document.querySelector('#scroll').scrollTop = 0")
    assert len(await ada.sees(90)) == 90
    await is_on_the_screen(gateway.url, room, ada)


async def test_what_strangers_write_is_text_and_nothing_runs(
    gateway: Gateway, room: str, browser: Browser
) -> None:
    corpus = attacks()
    assert len(corpus) >= 200
    async with AsyncExitStack() as stack:
        ben = await stack.enter_async_context(await Member.connect(gateway.url))
        await ben.join("ben", room)
        names = [each for each in corpus if len(each) <= 64][:90]
        for name in names:
            await ben.join(name, room)
            await ben.send(room, f"as {name}"[:4000])
        for text in corpus[-100:]:
            await ben.send(room, text)
        await ben.join(names[0], room)
        ada = await Person.comes(browser, gateway.url, names[1], room)
        await ada.page.fill("#new-room", corpus[0].replace("{", "").replace("}", "")[:100])
        await ada.page.press("#new-room", "Enter")
        await ada.page.click("#rooms li:first-child button")
        await ada.page.evaluate("document.querySelector('#scroll').scrollTop = 0")
        shown = await ada.sees(100)
        for text in corpus[:100]:
            await ben.send(room, text)
        await until(lambda: _shows(ada, corpus[99]), what="the last has come")
    assert [each["text"] for each in shown] == corpus[-100:]
    assert await ada.page.evaluate("window.harm") is None
    assert (
        await ada.page.evaluate(
            "document.querySelectorAll('#chat :is(script, iframe, object, embed, link, style, a, form form)').length"
        )
        == 0
    )
    assert await ada.page.locator("#chat img").count() == 1
    assert ada.complaints == []


async def _shows(person: Person, text: str) -> bool:
    return bool((await person.log())[-1]["text"] == text)


def attacks() -> list[str]:
    """Texts that run where somebody takes them for HTML: each kind of element and attribute, hidden in each way."""
    act = "window.harm=1"
    kinds = [
        f"<script>{act}</script>", f"<img src=x onerror={act}>", f"<svg onload={act}>", f"<body onload={act}>",
        f"<iframe src='javascript:parent.{act}'></iframe>", f"<a href='javascript:{act}' autofocus>x</a>",
        f"<input autofocus onfocus={act}>", f"<details open ontoggle={act}>x</details>",
        f"<video><source onerror={act}></video>", f"<math><mtext><script>{act}</script></mtext></math>",
        f"<style onload={act}></style>", f"<object data='javascript:{act}'></object>",
        f"<form action='javascript:{act}'><button>x</button></form>", f"<base href='javascript:{act}//'>",
        f"<meta http-equiv=refresh content='0;javascript:{act}'>", f"<template><script>{act}</script></template>",
        f"<marquee onstart={act}>x</marquee>", f"<link rel=stylesheet href='javascript:{act}'>",
        f"javascript:{act}", f"data:text/html,<script>{act}</script>",
    ]  # fmt: skip
    hidings = [
        "{}", '"><{}', "'>{}", "</textarea>{}", "</title>{}", "<!--{}-->", "<![CDATA[{}]]>", "\u202e{}", "{}\n{}",
        "&lt;{}",
    ]  # fmt: skip
    return [f"{number} {hiding.replace('{}', kind)}" for number, (kind, hiding) in enumerate(
        (kind, hiding) for kind in kinds for hiding in hidings
    )]  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.long)])
async def test_nothing_serious_is_found_by_axe(
    gateway: Gateway, room: str, browser: Browser, javascript: None, scheme: Any
) -> None:
    more = {"color_scheme": scheme, "bypass_csp": True, "viewport": {"width": 1280, "height": 800}}
    context = await browser.new_context(**more)
    page = await context.new_page()
    await page.goto(gateway.url)
    assert await _findings(page) == []
    ada = await Person.comes(browser, gateway.url, "Ada", room, **more)
    assert await _findings(ada.page) == [], "an empty room"
    async with await Member.connect(gateway.url) as ben:
        await ben.join("ben", room)
        await ben.send(room, "hello")
        await ben.emit("signal", {"room": room, "kind": "typing"})
        await ada.says("x" * 4096)
        await ada.says("fine")
        await ada.sees(3)
        await ada.page.fill("#new-room", f"{room}-2")
        await ada.page.press("#new-room", "Enter")
        await ben.send(room, "unread")
        await ada.page.locator("#rooms .badge:visible").wait_for()
        assert await _findings(ada.page) == [], "a room with all that there may be"
    await ada.page.set_viewport_size({"width": 320, "height": 640})
    await ada.page.click("#back")
    assert await _findings(ada.page) == [], "the rooms on a phone"


async def _findings(page: Any) -> list[str]:
    await page.evaluate((JS_FOLDER / "node_modules/axe-core/axe.min.js").read_text())
    found = await page.evaluate("() => axe.run()")
    return [
        f"{each['id']}: {node['html']} {node['failureSummary']}"
        for each in found["violations"] if each["impact"] in SERIOUS for node in each["nodes"]
    ]  # fmt: skip


async def test_a_reload_fetches_nothing_anew(gateway: Gateway, room: str, browser: Browser) -> None:
    statuses: dict[str, int] = {}
    bytes_in = 0

    ada = await Person.comes(browser, gateway.url, "Ada", room)
    session = await ada.page.context.new_cdp_session(ada.page)
    await session.send("Network.enable")

    def count(event: dict[str, Any]) -> None:
        nonlocal bytes_in
        bytes_in += event["encodedDataLength"]

    session.on("Network.loadingFinished", count)

    def look(event: dict[str, Any]) -> None:
        statuses[event["requestId"]] = event["statusCode"]

    session.on("Network.responseReceivedExtraInfo", look)
    statuses.clear()
    await ada.page.reload()
    await ada.enters("Ada", room)
    told = [status for status in statuses.values() if status != 101]
    assert told == [304], "all but the page itself is not even asked for"
    assert bytes_in < 1_500, "headers alone"


@pytest.mark.parametrize(
    "width", [320, *(pytest.param(width, marks=pytest.mark.long) for width in (768, 1440))]
)
async def test_nothing_is_larger_than_the_screen(
    gateway: Gateway, room: str, browser: Browser, width: int
) -> None:
    ada = await Person.comes(
        browser, gateway.url, "A" * 64, f"{room}-{'r' * 80}", viewport={"width": width, "height": 700}
    )
    await ada.says("w" * 500)
    await ada.sees(1)
    await ada.says("\n".join(30 * "tall "))
    await ada.sees(2)
    assert await ada.page.locator("#scroll").evaluate(SIZES) == [width, 700, 0], (
        "it scrolls nowhere but there"
    )


@pytest.mark.long
async def test_the_page_works_behind_a_prefix_and_asks_for_a_token(
    redis_url: str, room: str, browser: Browser, tmp_path: Path
) -> None:
    options = with_secrets(tmp_path, GATEWAY_PAGE="on", GATEWAY_PATH_PREFIX="/apps/chat", GATEWAY_PATH="ws")
    async with Gateway(redis_url, workers=1, environment=options) as gateway:
        context = await browser.new_context()
        ada = Person(await context.new_page())
        await ada.page.goto(f"{gateway.url}/apps/chat")
        await ada.page.fill("#token", "no token at all")
        await ada.page.fill("#room", room)
        await ada.page.click("#enter .primary")
        await ada.page.locator("#refused:visible").wait_for()
        await ada.page.fill("#token", signed(kid="one"))
        await ada.page.click("#enter .primary")
        await ada.is_here()
        await ada.says("named by the token")
        assert [each["name"] for each in await ada.sees(1)] == ["Ada"]


@pytest.mark.parametrize("document", ["README.md", "docs/chat-js.md"])
async def test_a_page_of_another_origin_takes_the_module_as_the_documents_say(
    gateway: Gateway, room: str, browser: Browser, document: str
) -> None:
    found = re.search(r"```html\n(.*?)```", (REPOSITORY / document).read_text(), re.DOTALL)
    assert found is not None
    snippet = found[1].replace("http://localhost:8006", gateway.url).replace("'lobby'", f"'{room}'")
    app = web.Application()

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=snippet, content_type="text/html")

    app.router.add_get("/", answer)
    async with TestServer(app) as elsewhere:
        person = Person(await browser.new_page())
        await person.page.goto(str(elsewhere.make_url("/")))
        await until(lambda: _holds(gateway.url, room, [("Ada", "Hello")]), what="what it sent is stored")
    assert [each for each in person.complaints if "favicon" not in each and "404" not in each] == []


@pytest.mark.long
async def test_a_page_shows_the_tokens_of_its_application_as_the_document_says(
    redis_url: str, room: str, browser: Browser, tmp_path: Path
) -> None:
    text = (REPOSITORY / "docs/chat-js.md").read_text()
    (snippet,) = (
        each for each in re.findall(r"```javascript\n(.*?)```", text, re.DOTALL) if "/chat-token" in each
    )
    async with Gateway(redis_url, workers=1, environment=with_secrets(tmp_path)) as gateway:
        code = (
            f"import {{ connect }} from '{gateway.url}/chat.js';\n"
            f"{snippet.replace('https://chat.example.org', gateway.url)}\nchat.room('{room}').send('Hello');\n"
            f"chat.room('{room}').on('change', (room) => {{ document.title = room.messages[0].user ?? ''; }});"
        )
        app = web.Application()

        async def answer(request: web.Request) -> web.Response:
            return web.Response(text=f'<script type="module">{code}</script>', content_type="text/html")

        async def token(request: web.Request) -> web.Response:
            return web.json_response({"token": signed(kid="one")})

        app.router.add_get("/", answer)
        app.router.add_get("/chat-token", token)
        async with TestServer(app) as elsewhere:
            page = await browser.new_page()
            await page.goto(str(elsewhere.make_url("/")))
            await until(
                lambda: _is_titled(page, "ada"), what="its message was stored as that of the token's user"
            )


async def _is_titled(page: Any, title: str) -> bool:
    return bool(await page.title() == title)


async def _holds(url: str, room: str, said: list[tuple[str, str]]) -> bool:
    return [(name, text) for _, name, text in await history(url, room)] == said


# -- what breaks


async def typed_under_kills(gateway: Gateway, room: str, ada: Person, bob: Person, number: int) -> None:
    """Both write eight messages; the worker of at least one of them is killed in the middle."""
    for count in range(8):
        await ada.says(f"ada {number}.{count}")
        await bob.says(f"bob {number}.{count}")
        if count == 3:
            pids = gateway.worker_pids()
            os.kill(pids[number % len(pids)], signal.SIGKILL)


@pytest.mark.long
async def test_a_worker_is_killed_while_they_type(redis_url: str, room: str, browser: Browser) -> None:
    async with Gateway(redis_url, workers=2) as gateway:
        ada = await Person.comes(browser, gateway.url, "Ada", room)
        bob = await Person.comes(browser, gateway.url, "Bob", room)
        await typed_under_kills(gateway, room, ada, bob, 0)
        for person in (ada, bob):
            await person.sees(16)
        await is_on_the_screen(gateway.url, room, ada, bob)
        assert len(await history(gateway.url, room)) == 16


@pytest.mark.long
@pytest.mark.timeout(1200)
async def test_workers_are_killed_fifty_times_while_they_type(
    redis_url: str, room: str, browser: Browser
) -> None:
    messages = 0
    async with Gateway(redis_url, workers=2) as gateway:
        ada = await Person.comes(browser, gateway.url, "Ada", room)
        bob = await Person.comes(browser, gateway.url, "Bob", room)
        for person in (ada, bob):
            await person.page.evaluate(WATCH)
        for number in range(TIMES):
            await typed_under_kills(gateway, room, ada, bob, number)
            messages += 16
            for person in (ada, bob):
                await all_is_on_the_screen(person, gateway.url, room)
            await is_on_the_screen(gateway.url, room, ada, bob)
            truth = await history(gateway.url, room)
            assert int(truth[-1][0].partition(":")[2]) == messages, "each is stored once"
        for person in (ada, bob):
            assert await person.page.evaluate("window.twice") == [], (
                "at no moment was a text on the screen twice"
            )
    print(f"\n{TIMES} kills, {messages} messages: none lost, doubled or at another place")


WATCH = """() => {
  window.twice = [];
  new MutationObserver(() => {
    const texts = [...document.querySelectorAll('#log .text')].map((each) => each.textContent);
    const found = texts.filter((text, place) => texts.indexOf(text) !== place);
    if (found.length && window.twice.length < 10) window.twice.push(found);
  }).observe(document.querySelector('#log'), { childList: true, subtree: true });
}"""


async def all_is_on_the_screen(person: Person, url: str, room: str) -> None:
    """Waits until nothing is on its way, and the newest message of the room is there."""

    async def is_there() -> bool:
        shown, truth = await person.log(), await history(url, room)
        return bool(shown and all(each["id"] for each in shown) and shown[-1]["id"] == truth[-1][0])

    await until(is_there, 60, "all is stored and on the screen")


@pytest.mark.long
async def test_what_is_written_without_a_gateway_is_sent_when_it_is_back_even_after_a_reload(
    redis_url: str, room: str, browser: Browser
) -> None:
    async with Gateway(redis_url, workers=1) as gateway:
        ada = await Person.comes(browser, gateway.url, "Ada", room)
        await ada.says("before")
        await ada.sees(1)
        gateway.kill()
        await ada.page.locator("#banner", has_text="Connection lost").wait_for()
        await ada.says("while it is away")
        await expect(ada.page.locator("#log .state")).to_have_text(["Sent", "Sending"])
        await gateway.start()
        await ada.page.reload()
        await ada.enters("Ada", room)
        await ada.sees(2)
        await is_on_the_screen(gateway.url, room, ada)
