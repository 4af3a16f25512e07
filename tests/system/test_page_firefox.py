"""The page in Firefox, beside Chromium: what is on both screens is what the history says."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.browsers import SIZES, Browser, Person, chromium
from tests.support.clients import Member
from tests.support.firefox import Firefox, FirefoxPerson, firefox
from tests.support.gateways import Gateway

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.asyncio(loop_scope="module")]

KILLS = 6


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fox() -> AsyncIterator[Firefox]:
    async with firefox() as browser:
        yield browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chrome() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(redis_url: str) -> AsyncIterator[Gateway]:
    async with Gateway(redis_url, workers=1) as gateway:
        yield gateway


async def is_on_the_screen(url: str, room: str, *people: Person | FirefoxPerson) -> None:
    """What each sees are the last messages of the history: none missing, twice or at another place."""
    async with await Member.connect(url) as reader:
        await reader.join("reader", room)
        answer = await reader.call("history", {"room": room})
    truth = [(each["id"], each["username"], each["message"]) for each in answer["messages"]]
    for person in people:
        shown = [(each["id"], each["name"], each["text"]) for each in await person.log()]
        assert shown
        assert shown == truth[-len(shown) :]
        assert person.complaints == []


async def test_one_in_firefox_and_one_in_chromium_chat(
    gateway: Gateway, room: str, fox: Firefox, chrome: Browser
) -> None:
    ada = await FirefoxPerson.comes(fox, gateway.url, "Ada", room)
    bob = await Person.comes(chrome, gateway.url, "Bob", room)
    await ada.shows("#about", "2 people here")
    await bob.page.locator("#text").press_sequentially("so")
    await ada.shows("#typing", "Bob is typing")
    await ada.says("Hello Bob ✓ ü")
    await bob.sees(1)
    await bob.says("Hello Ada")
    await ada.sees(2)
    await is_on_the_screen(gateway.url, room, ada, bob)
    assert [each["state"] for each in await ada.log()] == ["Sent", ""]


async def test_a_worker_is_killed_while_they_type(
    redis_url: str, room: str, fox: Firefox, chrome: Browser
) -> None:
    async with Gateway(redis_url, workers=2) as gateway:
        ada = await FirefoxPerson.comes(fox, gateway.url, "Ada", room)
        bob = await Person.comes(chrome, gateway.url, "Bob", room)
        for count in range(1, KILLS + 1):
            for number in range(4):
                await ada.says(f"ada {count}.{number}")
                await bob.says(f"bob {count}.{number}")
                if number == 2:
                    os.kill(gateway.worker_pids()[count % 2], signal.SIGKILL)
            for person in (ada, bob):
                assert len(await person.sees(8 * count, 30)) == 8 * count
            await is_on_the_screen(gateway.url, room, ada, bob)
    print(f"\n{KILLS} kills, {8 * KILLS} messages: none lost, doubled or at another place")


async def test_two_in_firefox_have_nothing_in_common_but_the_room(
    gateway: Gateway, room: str, fox: Firefox
) -> None:
    ada = await FirefoxPerson.comes(fox, gateway.url, "Ada", room)
    bob = await FirefoxPerson.comes(fox, gateway.url, "Bob", room)
    await ada.says("Hello Bob")
    await bob.sees(1)
    await bob.says("Hello Ada")
    await ada.sees(2)
    await is_on_the_screen(gateway.url, room, ada, bob)
    assert [each["state"] for each in await bob.log()] == ["", "Sent"]


async def test_the_history_pages_back_in_firefox(gateway: Gateway, room: str, fox: Firefox) -> None:
    async with await Member.connect(gateway.url) as ben:
        await ben.join("ben", room)
        for number in range(90):
            await ben.send(room, f"text {number}")
    ada = await FirefoxPerson.comes(fox, gateway.url, "Ada", room)
    await ada.sees(50)
    await ada.evaluate("document.querySelector('#scroll').scrollTop = 0")
    assert len(await ada.sees(90)) == 90
    await is_on_the_screen(gateway.url, room, ada)


async def test_nothing_is_wider_than_a_phone_in_firefox(gateway: Gateway, room: str, fox: Firefox) -> None:
    ada = await FirefoxPerson.comes(fox, gateway.url, "A" * 64, f"{room}-{'r' * 80}")
    await ada.resizes(320, 640)
    await ada.says("w" * 500)
    await ada.sees(1)
    assert await ada.evaluate(f"({SIZES})(document.querySelector('#scroll'))") == [320, 640, 0]
    assert await ada.evaluate("document.querySelector('#people').checkVisibility()") is False
