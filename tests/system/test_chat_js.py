"""`chat.js` against real gateways: whatever breaks, what it shows is what the history says, once and in order."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.chat_js import ChatJs, told
from tests.support.clients import Member
from tests.support.gateways import LIMITED, Gateway
from tests.support.identified import with_secrets
from tests.support.opener import Opener
from tests.support.servers import Valkey
from tests.support.tokens import signed
from tests.support.topologies import sentinels
from tests.support.waiting import until
from tests.system.faults.proxy import Proxy

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("javascript")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(redis_url: str) -> AsyncIterator[Gateway]:
    """One for the tests that break nothing."""
    async with Gateway(redis_url, workers=1) as gateway:
        yield gateway


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """One where tokens are required."""
    async with Gateway(
        redis_url, workers=1, environment=with_secrets(tmp_path_factory.mktemp("keys"))
    ) as gateway:
        yield gateway


@pytest.fixture
async def ada() -> AsyncIterator[ChatJs]:
    async with ChatJs() as ada:
        yield ada


async def history(url: str, room: str) -> list[tuple[str, str, str]]:
    """What the room holds, as a member who has just come in is told."""
    async with await Member.connect(url) as reader:
        await reader.join("reader", room)
        answer = await reader.call("history", {"room": room})
    return [told(each) for each in answer["messages"]]


async def is_the_history(url: str, room: str, *chats: ChatJs) -> None:
    """What each shows is what the room holds (its last 100); nothing was ever to be seen twice."""
    truth = await history(url, room)
    for chat in chats:
        await until(lambda: _has(chat, room, truth[-1][0]), what="the newest has come")  # noqa: B023 -- used at once
        look = await chat.look(room)
        assert [told(each) for each in look["messages"]][-len(truth) :] == truth
        assert look["worst"] == []


async def _has(chat: ChatJs, room: str, position: str) -> bool:
    return any(each.get("id") == position for each in (await chat.look(room))["messages"])


@pytest.mark.parametrize("is_stock", [False, True], ids=["own client", "stock client"])
async def test_two_talk_and_both_show_the_history(
    gateway: Gateway, room: str, ada: ChatJs, is_stock: bool
) -> None:
    async with ChatJs() as bob:
        await ada.connect(gateway.url, [room], username="ada", is_stock=is_stock)
        await bob.connect(gateway.url, [room], username="bob", is_stock=is_stock)
        for number in range(20):
            entry = await (ada, bob)[number % 2].send(room, f"text {number}")
            assert (entry["state"], len(entry["key"])) == ("sending", 32)
        await ada.shows(room, 20)
        await bob.shows(room, 20)
        await is_the_history(gateway.url, room, ada, bob)
        own = [each for each in (await ada.look(room))["messages"] if each["username"] == "ada"]
        assert [each["message"] for each in own] == [f"text {number}" for number in range(0, 20, 2)], (
            "in their order"
        )
        assert all(each["key"] for each in own), "a page keeps the element of what was sent"


async def test_what_is_sent_before_the_connection_is_there_is_kept(
    gateway: Gateway, room: str, ada: ChatJs
) -> None:
    await ada.connect(gateway.url, [room], username="ada", is_waited_for=False)
    for text in ("one", "two", "three"):
        await ada.send(room, text)
    assert [each["message"] for each in await ada.shows(room, 3)] == ["one", "two", "three"]


async def test_a_room_that_is_named_later_is_joined_and_left(
    gateway: Gateway, room: str, ada: ChatJs
) -> None:
    await ada.connect(gateway.url, [room], username="ada")
    other = f"{room}-2"
    await ada.send(other, "there")
    await ada.shows(other, 1)
    assert (await ada.call(other, "leave"))["ok"]
    assert await ada.call(room, "members") == {"ok": True, "members": ["ada"], "count": 1}


async def test_unread_typing_and_signals(gateway: Gateway, room: str, ada: ChatJs) -> None:
    async with ChatJs() as bob:
        await ada.connect(gateway.url, [room], username="ada")
        await bob.connect(gateway.url, [room], username="bob")
        assert (await ada.look(room))["unread"] == 0, "who comes in has nothing to catch up with"
        await bob.call(room, "typing")
        await bob.call(room, "typing")
        await bob.call(room, "signal", "wave", {"to": "ada"})
        await until(lambda: _signals(ada, room, 2), what="both signals came; the second typing was not said")
        assert (await ada.look(room))["typers"] == ["bob"]
        for text in ("one", "two"):
            await bob.send(room, text)
        await ada.shows(room, 2)
        look = await ada.look(room)
        assert (look["unread"], look["typers"]) == (2, [])
        assert [each["kind"] for each in look["signals"]] == ["typing", "wave"]
        await ada.call(room, "markRead")
        assert (await ada.look(room))["unread"] == 0


async def _signals(chat: ChatJs, room: str, count: int) -> bool:
    return len((await chat.look(room))["signals"]) == count


async def test_a_refused_message_fails_and_can_be_discarded(gateway: Gateway, room: str, ada: ChatJs) -> None:
    await ada.connect(gateway.url, [room], username="ada")
    await ada.send(room, "x" * 5000)
    await ada.send(room, "fine")
    await until(lambda: _states(ada, room, ["sent", "failed"]), what="one is refused, the next is sent")
    failed = (await ada.look(room))["messages"][-1]
    assert failed["error"]["code"] == "too_large"
    await ada.call(room, "retry", failed["key"])
    await until(lambda: _states(ada, room, ["sent", "failed"]), what="it is refused again, under another key")
    failed = (await ada.look(room))["messages"][-1]
    await ada.call(room, "discard", failed["key"])
    assert [each["message"] for each in (await ada.look(room))["messages"]] == ["fine"]


async def _states(chat: ChatJs, room: str, states: list[str]) -> bool:
    return [each["state"] for each in (await chat.look(room))["messages"]] == states


async def test_a_name_that_is_the_systems_is_refused_for_good(
    gateway: Gateway, room: str, ada: ChatJs
) -> None:
    await ada.connect(gateway.url, [room], username="ChatBot", is_waited_for=False)
    await ada.send(room, "waits in vain")
    await until(lambda: _room_is(ada, room, "refused"), what="it is told")
    look = await ada.look(room)
    assert (look["error"]["code"], look["messages"][0]["state"]) == ("name_taken_by_system", "failed")


async def _room_is(chat: ChatJs, room: str, state: str) -> bool:
    return bool((await chat.look(room))["state"] == state)


async def test_older_messages_are_loaded_by_page(
    redis_url: str, room: str, ada: ChatJs, connect: Opener, gateway: Gateway
) -> None:
    ben = await connect(gateway.url)
    await ben.join("ben", room)
    for number in range(110):
        await ben.send(room, f"text {number}")
    await ada.connect(gateway.url, [room], username="ada")
    look = await ada.look(room)
    assert (len(look["messages"]), look["hasEarlier"]) == (100, True)
    assert await ada.call(room, "loadEarlier") == 0, "the room keeps no more"
    assert (await ada.look(room))["hasEarlier"] is False


# -- what breaks


@pytest.mark.parametrize("is_stock", [False, True], ids=["own client", "stock client"])
async def test_a_cut_in_the_middle_of_sending_loses_and_doubles_nothing(
    gateway: Gateway, room: str, ada: ChatJs, is_stock: bool
) -> None:
    async with Proxy(gateway.port) as proxy:
        await ada.connect(f"http://127.0.0.1:{proxy.port}", [room], username="ada", is_stock=is_stock)
        for number in range(40):
            await ada.send(room, f"text {number}")
            if number in (10, 30):
                proxy.cut()
        found = await ada.shows(room, 40)
        assert [each["message"] for each in found] == [f"text {number}" for number in range(40)]
        await is_the_history(gateway.url, room, ada)


async def test_an_answer_that_got_lost_is_asked_for_again_under_the_same_key(
    gateway: Gateway, room: str, ada: ChatJs, connect: Opener
) -> None:
    async with Proxy(gateway.port) as proxy:
        await ada.connect(f"http://127.0.0.1:{proxy.port}", [room], username="ada")
        ben = await connect(gateway.url)
        await ben.join("ben", room)
        proxy.swallow_answers()
        await ada.send(room, "stored, and nobody told her")
        await until(lambda: ben.messages(room), what="it is stored")
        proxy.cut()
        proxy.forward()
        await ada.shows(room, 1)
        await is_the_history(gateway.url, room, ada)
        assert ben.messages(room) == ["stored, and nobody told her"]


async def test_a_gap_is_told_and_the_last_messages_are_shown(
    gateway: Gateway, room: str, ada: ChatJs, connect: Opener
) -> None:
    async with Proxy(gateway.port) as proxy:
        await ada.connect(f"http://127.0.0.1:{proxy.port}", [room], username="ada")
        await ada.send(room, "seen")
        await ada.shows(room, 1)
        proxy.swallow()
        ben = await connect(gateway.url)
        await ben.join("ben", room)
        for number in range(130):
            await ben.send(room, f"text {number}")
        proxy.cut()
        proxy.forward()
        await ada.shows(room, 100)
        look = await ada.look(room)
        assert (look["gaps"], look["missedBefore"]) == (1, look["messages"][0]["id"])
        await is_the_history(gateway.url, room, ada)


async def test_a_worker_that_is_killed_while_people_type_loses_nothing(
    redis_url: str, room: str, ada: ChatJs
) -> None:
    async with Gateway(redis_url, workers=2) as gateway, ChatJs() as bob:
        await ada.connect(gateway.url, [room], username="ada")
        await bob.connect(gateway.url, [room], username="bob")
        for number in range(30):
            await ada.send(room, f"ada {number}")
            await bob.send(room, f"bob {number}")
            if number in (8, 20):
                os.kill(gateway.worker_pids()[0], signal.SIGKILL)
        for chat in (ada, bob):
            await chat.shows(room, 60)
        await is_the_history(gateway.url, room, ada, bob)


@pytest.mark.parametrize("is_stock", [False, True], ids=["own client", "stock client"])
@pytest.mark.long
async def test_a_full_queue_keeps_to_the_limits_and_is_not_sent_away(
    redis_url: str, room: str, ada: ChatJs, is_stock: bool
) -> None:
    """100 messages wait, and a connection may send 15 a second: who is refused too often is sent away for good."""
    async with Gateway(redis_url, workers=1, environment=LIMITED) as gateway, Proxy(gateway.port) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        await ada.connect(url, [room], username="ada", is_stock=is_stock)
        proxy.swallow()
        for number in range(100):
            await ada.send(room, f"text {number}")
        proxy.cut()
        proxy.forward()
        found = await ada.shows(room, 100, 30)
        assert [each["message"] for each in found] == [f"text {number}" for number in range(100)]
        look = await ada.look(room)
        assert "refused" not in look["states"]
        assert len([each for each in look["errors"] if each["code"] == "rate_limited"]) <= 10


async def test_what_waits_outlives_the_page(gateway: Gateway, room: str, tmp_path: Path) -> None:
    storage = tmp_path / "storage"
    async with ChatJs(storage) as ada:
        await ada.connect("http://127.0.0.1:1", [room], username="ada", persist=True, is_waited_for=False)
        for text in ("one", "two"):
            await ada.send(room, text)
        ada.kill()
    kept = storage.read_text()
    storage.write_text(kept.replace("http://127.0.0.1:1", gateway.url))
    async with ChatJs(storage) as again:
        await again.connect(gateway.url, [room], username="ada", persist=True)
        assert [each["message"] for each in await again.shows(room, 2)] == ["one", "two"]
        assert "queue:" not in storage.read_text()


# -- tokens


def short(life_s: int, **more: Any) -> str:
    now_s = int(time.time())
    return signed(kid="one", iat=now_s, exp=now_s + life_s, **more)


async def test_tokens_name_people_and_are_fetched_anew_after_a_refusal(
    guarded: Gateway, room: str, ada: ChatJs
) -> None:
    now_s = int(time.time())
    await ada.show(signed(kid="one", iat=now_s - 1200, exp=now_s - 600))
    await ada.connect(guarded.url, [room], hasToken=True, is_waited_for=False)
    await until(lambda: _refused_once(ada, room), what="it was refused, and is to come back")
    await ada.show(signed(kid="one"))
    await ada.joins(room)
    look = await ada.look(room)
    assert (look["user"], look["tokens"]) == ("ada", 2)
    await ada.send(room, "in")
    assert [each["user"] for each in await ada.shows(room, 1)] == ["ada"]
    await is_the_history_of_users(room, ada)


async def _refused_once(chat: ChatJs, room: str) -> bool:
    look = await chat.look(room)
    return bool(look["chat"] == "waiting" and look["chatError"]["reason"] == "expired")


async def is_the_history_of_users(room: str, chat: ChatJs) -> None:
    """As `is_the_history`, where only users come in."""
    answer = await chat.call(None, "ask", "history", {"room": room})
    look = await chat.look(room)
    shown = look["messages"][-len(answer["messages"]) :]
    assert [told(each) for each in shown] == [told(each) for each in answer["messages"]]
    assert look["worst"] == []


async def test_the_same_refused_token_again_is_an_end(guarded: Gateway, room: str, ada: ChatJs) -> None:
    await ada.show("not a token")
    await ada.connect(guarded.url, [room], hasToken=True, is_waited_for=False)
    await until(lambda: _chat_is(ada, room, "refused"), what="it gives up")
    assert (await ada.look(room))["tokens"] == 2
    await ada.show(signed(kid="one"))
    await ada.call(None, "connect")
    await ada.joins(room)


async def _chat_is(chat: ChatJs, room: str, state: str) -> bool:
    return bool((await chat.look(room))["chat"] == state)


async def test_redacted_messages_are_shown_so_at_once_and_after_coming_back(
    guarded: Gateway, room: str, ada: ChatJs
) -> None:
    async with ChatJs() as mod:
        await ada.show(signed(kid="one"))
        await mod.show(signed(kid="one", sub="mod", name="Mod", rooms={room: ["join", "send", "moderate"]}))
        await ada.connect(guarded.url, [room], hasToken=True)
        await mod.connect(guarded.url, [room], hasToken=True)
        await ada.send(room, "said in anger")
        (message,) = await mod.shows(room, 1)
        assert (await mod.call(None, "ask", "redact", {"room": room, "id": message["id"]}))["ok"]
        await until(lambda: _is_redacted(ada, room), what="it is told")
        async with ChatJs() as late:
            await late.show(signed(kid="one", sub="late", name="Late"))
            await late.connect(guarded.url, [room], hasToken=True)
            assert await _is_redacted(late, room)


async def _is_redacted(chat: ChatJs, room: str) -> bool:
    first = (await chat.look(room))["messages"][0]
    return (first["message"], first.get("changed", {}).get("kind")) == ("", "redacted")


# -- what takes long


@pytest.mark.long
async def test_a_token_that_ends_is_renewed_and_one_that_has_ended_is_replaced(
    redis_url: str, room: str, tmp_path: Path, ada: ChatJs
) -> None:
    options = with_secrets(tmp_path, GATEWAY_TOKEN_GRACE_S="0", GATEWAY_TOKEN_LEEWAY_S="0")
    async with Gateway(redis_url, workers=1, environment=options) as gateway:
        await ada.show(short(4))
        await ada.connect(gateway.url, [room], hasToken=True)
        await ada.show(short(8))
        for number in range(12):
            await ada.send(room, f"text {number}")
            await asyncio.sleep(0.5)
            if number == 7:
                await ada.show(None)  # who makes the tokens is away, until this one has ended
        await asyncio.sleep(4)
        await ada.send(room, "while nobody makes tokens")
        await ada.show(short(600))
        await ada.shows(room, 13)
        look = await ada.look(room)
        assert look["states"].count("online") == 2, "once at the start, once after the token had ended"
        await is_the_history_of_users(room, ada)


@pytest.mark.long
async def test_thirty_seconds_offline(gateway: Gateway, room: str, ada: ChatJs, connect: Opener) -> None:
    ben = await connect(gateway.url)
    await ben.join("ben", room)
    async with Proxy(gateway.port) as proxy:
        await ada.connect(f"http://127.0.0.1:{proxy.port}", [room], username="ada")
        await ada.send(room, "before")
        await ada.shows(room, 1)
        proxy.swallow()
        for second in range(30):
            await ben.send(room, f"ben {second}")
            await ada.send(room, f"ada {second}")
            await asyncio.sleep(1)
        proxy.cut()
        proxy.forward()
        await ada.shows(room, 61, 60)
        await is_the_history(gateway.url, room, ada)


@pytest.mark.long
async def test_drains_and_reloads(redis_url: str, room: str, ada: ChatJs) -> None:
    async with Gateway(redis_url, workers=2, GATEWAY_DRAIN_S="2") as gateway, ChatJs() as bob:
        await ada.connect(gateway.url, [room], username="ada")
        await bob.connect(gateway.url, [room], username="bob")
        for number in range(45):
            await ada.send(room, f"ada {number}")
            await bob.send(room, f"bob {number}")
            if number % 15 == 5:
                os.kill(gateway.master_pid, signal.SIGHUP)
            await asyncio.sleep(0.2)
        for chat in (ada, bob):
            await chat.shows(room, 90, 60)
        await is_the_history(gateway.url, room, ada, bob)


@pytest.mark.long
async def test_a_failover_of_the_store(room: str, ada: ChatJs) -> None:
    async with sentinels() as store, Gateway(store.url, workers=2) as gateway, ChatJs() as bob:
        await ada.connect(gateway.url, [room], username="ada")
        await bob.connect(gateway.url, [room], username="bob")
        for number in range(40):
            await ada.send(room, f"ada {number}")
            await bob.send(room, f"bob {number}")
            if number == 10:
                old: Valkey = await store.primary()
                old.kill()
            await asyncio.sleep(0.2)
        for chat in (ada, bob):
            await chat.shows(room, 80, 90)
        await is_the_history(gateway.url, room, ada, bob)
