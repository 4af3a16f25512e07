"""Rooms in which the application sees messages first: what is stored, what is told, and who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.access.application import Application
from gateway.access.identity import Identity
from gateway.access.room_rules import RoomRule, RoomRules
from gateway.access.send_hook import LIMIT_S, SendHook
from gateway.chat.judging import AWAY
from gateway.protocol import Refusal
from tests.support.application import Application as Answering
from tests.support.application import running
from tests.support.chat_worker import ChatWorker, chat_worker, tokens_count
from tests.support.waiting import until

RULES = RoomRules(
    [RoomRule(match="open:*", join="anyone"), RoomRule(match="**", join="anyone", moderation="words")]
)


def by_word(question: dict[str, Any]) -> dict[str, Any]:
    """An application with opinions."""
    text = question["message"]
    if "never" in text:
        return {"allow": False, "message": "Be kind."}
    return {"allow": True, "message": text.replace("damn", "d***")} if "damn" in text else {"allow": True}


@asynccontextmanager
async def judged(
    redis_url: str, application: Answering, is_lenient: bool = False, **how: Any
) -> AsyncIterator[ChatWorker]:
    hook = SendHook(Application(application.url, LIMIT_S, ()), 4096)
    how = {"timeout_s": 10.0, "rules": RULES, **how}
    async with chat_worker(redis_url, send_hook=hook, is_lenient=is_lenient, **how) as worker:
        yield worker
        await worker.chat.close_hooks()


@pytest.fixture
async def application() -> AsyncIterator[Answering]:
    async with running() as application:
        application.judge = by_word
        yield application


@pytest.fixture
async def worker(redis_url: str, application: Answering) -> AsyncIterator[ChatWorker]:
    async with judged(redis_url, application) as worker:
        yield worker


async def test_a_message_is_stored_changed_or_refused(worker: ChatWorker, room: str) -> None:
    ann, ben = worker.connect(), worker.connect()
    await ann.join(room)
    await ben.join(room, "ben")
    assert (await ann.send(room, "hello"))["ok"]
    assert (await ann.send(room, "damn it"))["ok"]
    refused = await ann.send(room, "never", idempotency_key="k")
    assert refused == {
        "ok": False, "message": "Be kind.", "code": "forbidden", "retryable": False, "reason": "moderated",
    }  # fmt: skip
    assert ann.events("error")[0]["idempotency_key"] == "k"
    await until(lambda: ben.messages() == ["hello", "d*** it"], what="what was allowed")
    page = await ben.call("history", {"room": room})
    assert [one["message"] for one in page["messages"]] == ["hello", "d*** it"]


async def test_what_is_said_beside_the_text_is_shown_and_kept(
    worker: ChatWorker, application: Answering, room: str
) -> None:
    ada = worker.connect(identity=Identity(user="42"))
    await ada.join(room, "Ada")
    await ada.send(room, "damn", meta={"n": 1})
    await until(ada.messages, what="it")
    (live,) = ada.events("receive")
    assert (live["message"], live["user"], live["meta"]) == ("d***", "42", {"n": 1})
    assert (application.questions[0]["user"], application.questions[0]["meta"]) == ("42", {"n": 1})


async def test_moderators_are_asked_about_too_and_other_rooms_are_not(
    worker: ChatWorker, application: Answering, room: str
) -> None:
    mod = worker.connect(identity=Identity(user="m", grants={"**": frozenset(["moderate"])}))
    for name in (room, f"open:{room}"):
        await mod.join(name, "mod")
        await mod.send(name, "never")
    assert [one["room"] for one in application.questions] == [room]
    assert application.questions[0] | {"room": ""} == {
        "hook": "send", "moderation": "words", "room": "", "message": "never", "username": "mod", "user": "m",
    }  # fmt: skip


async def test_one_clients_messages_keep_their_order_and_others_wait_for_nothing(
    worker: ChatWorker, application: Answering, room: str
) -> None:
    """The application stands still: what ann said waits for it, and so does what she says behind it."""
    ann, ben, hears = worker.connect(), worker.connect(), worker.connect()
    for client, name in ((ann, "ann"), (ben, "ben"), (hears, "hears")):
        await client.join(room, name)
    await ben.join(f"open:{room}", "ben")
    application.held = asyncio.Event()

    async def say_in_turn() -> None:
        for number in range(3):
            await ann.emit("send", {"room": room, "message": f"ann {number}"})

    saying = asyncio.create_task(say_in_turn())
    await until(lambda: application.asked, what="it is asked")
    assert (await ben.send(f"open:{room}", "x"))["ok"]
    assert (await ben.call("members", {"room": room}))["ok"]
    assert len(application.asked) == 1, "one message of a client at a time"
    application.held.set()
    application.held = None
    assert (await ben.send(room, "ben"))["ok"]
    await saying
    await until(lambda: len(hears.messages()) == 4, what="all of them")
    assert [text for text in hears.messages() if text != "ben"] == ["ann 0", "ann 1", "ann 2"]


async def test_while_it_is_away_messages_are_refused_and_may_come_again(
    worker: ChatWorker, application: Answering, room: str
) -> None:
    ann = worker.connect()
    await ann.join(room)
    application.judge, application.status = None, 500
    refused = await ann.send(room, "hello", idempotency_key="k")
    assert (refused["code"], refused["retryable"], refused["message"]) == ("unavailable", True, AWAY)
    assert ann.recorder.refusals_charged == 0
    application.judge = by_word
    assert (await ann.send(room, "hello", idempotency_key="k"))["ok"]
    await until(lambda: ann.messages() == ["hello"], what="it is stored once")


async def test_where_that_is_wanted_messages_pass_while_it_is_away(
    redis_url: str, application: Answering, room: str
) -> None:
    async with judged(redis_url, application, is_lenient=True) as worker:
        ann = worker.connect()
        await ann.join(room)
        application.judge, application.status = None, 500
        assert (await ann.send(room, "never"))["ok"]
        application.judge = by_word
        assert (await ann.send(room, "never"))["code"] == "forbidden", "what it refuses is refused"


async def test_a_message_that_is_repeated_gets_its_answer_and_nobody_is_asked_again(
    worker: ChatWorker, application: Answering, room: str
) -> None:
    ann, ben = worker.connect(), worker.connect()
    await ann.join(room)
    await ben.join(room, "ben")
    first = await ann.send(room, "damn it", idempotency_key="k")
    refused = await ann.send(room, "never", idempotency_key="l")
    assert len(application.asked) == 2
    application.judge, application.status = None, 500  # it could not even answer
    assert await ann.send(room, "damn it", idempotency_key="k") == first
    assert await ann.send(room, "never", idempotency_key="l") == refused
    other = await ann.send(room, "another text", idempotency_key="k")
    assert (other["code"], other["reason"]) == ("bad_request", "key_reused")
    assert len(application.asked) == 2
    await until(lambda: ben.messages() == ["d*** it"], what="once")


async def test_who_is_on_the_way_back_is_judged_too(
    worker: ChatWorker, application: Answering, room: str
) -> None:
    ann = worker.connect()
    await ann.join(room)
    ann.close()
    back = worker.connect()
    assert (await back.send(room, "never", username="ann"))["reason"] == "moderated"
    assert (await back.send(room, "kept", username="ann"))["ok"]
    assert len(application.asked) == 2


async def test_who_leaves_the_room_meanwhile_has_not_said_it_and_whose_connection_dropped_has(
    worker: ChatWorker, application: Answering, room: str
) -> None:
    taken, dropped, hears = worker.connect(), worker.connect(), worker.connect()
    for client, name in ((taken, "taken"), (dropped, "dropped"), (hears, "hears")):
        await client.join(room, name)
    application.held = asyncio.Event()
    sending = [
        asyncio.create_task(client.emit("send", {"room": room, "message": text}))
        for client, text in ((taken, "of one taken out"), (dropped, "of one that dropped"))
    ]
    await until(lambda: len(application.asked) == 2, what="both are asked about")
    await worker.chat.take_out(taken.sid, room)
    dropped.close()
    application.held.set()
    await asyncio.gather(*sending)
    await until(lambda: hears.messages() == ["of one that dropped"], what="the one")
    assert taken.events("error")[-1]["code"] == "not_joined"


async def test_who_is_ended_for_good_meanwhile_has_not_said_it(
    redis_url: str, application: Answering, room: str
) -> None:
    async with judged(redis_url, application, identities=tokens_count()) as worker:
        ann, hears = worker.connect(identity=Identity(user="42")), worker.connect()
        await ann.join(room, "Ann")
        await hears.join(room, "hears")
        application.held = asyncio.Event()
        sending = asyncio.create_task(ann.emit("send", {"room": room, "message": "x"}))
        await until(lambda: application.asked, what="it is asked")
        ann.session.end_for_good(Refusal("forbidden", reason="banned"))
        application.held.set()
        await sending
        await hears.send(room, "behind it")
        await until(hears.messages, what="the message")
        assert hears.messages() == ["behind it"]
