"""The hook that sees messages before they are stored: what it is asked, what it may answer, when it is left alone."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.access.application import IN_FLIGHT_MAX, PAUSE_S, WINDOW, Application
from gateway.access.permissions import HookAway
from gateway.access.send_hook import (
    LIMIT_S,
    REMEMBERED_MAX,
    REMEMBERED_S,
    SENTENCE_MAX,
    Said,
    SendHook,
    Verdict,
)
from gateway.metrics import send_hook_answers
from tests.support.application import Application as Answering
from tests.support.application import Clock, running
from tests.support.waiting import until

SAID = Said("words", "class:7", "Hello", "Ada", "42", b'{"b":[1]}', "")
SECRET = b"s" * 24


@pytest.fixture
async def application() -> AsyncIterator[Answering]:
    async with running() as application:
        application.answer = {"allow": True}
        yield application


@asynccontextmanager
async def hook_of(application: Answering, clock: Clock | None = None) -> AsyncIterator[SendHook]:
    hook = SendHook(Application(application.url, LIMIT_S, (SECRET,)), 4096, clock or Clock())
    try:
        yield hook
    finally:
        await hook.close()


async def test_it_is_asked_who_says_what_where_by_a_signed_post(application: Answering) -> None:
    async with hook_of(application) as hook:
        assert await hook.judge(SAID) == Verdict(True, "Hello")
        await hook.judge(SAID._replace(user="", meta=b"", key="k"))
    of_user, of_guest = application.questions
    assert of_user == {
        "hook": "send", "moderation": "words", "room": "class:7", "message": "Hello", "username": "Ada", "user": "42",
        "meta": {"b": [1]},
    }  # fmt: skip
    assert (of_guest["user"], "meta" in of_guest, "k" in of_guest.values()) == (None, False, False)
    headers, body = application.asked[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    signature = base64.b64encode(hmac.digest(SECRET, signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{signature}"


ANSWERS: list[tuple[Any, Verdict]] = [
    ({"allow": True}, Verdict(True, "Hello")),
    ({"allow": True, "message": None, "more": 1}, Verdict(True, "Hello")),
    ({"allow": True, "message": "H***o"}, Verdict(True, "H***o")),
    ({"allow": True, "message": "x" * 4096}, Verdict(True, "x" * 4096)),
    ({"allow": False}, Verdict(False, "")),
    ({"allow": False, "message": "Be kind."}, Verdict(False, "Be kind.")),
    ({"allow": False, "message": "x" * 300}, Verdict(False, "x" * SENTENCE_MAX)),
]


@pytest.mark.parametrize(("answer", "verdict"), ANSWERS)
async def test_it_allows_changes_or_refuses(application: Answering, answer: Any, verdict: Verdict) -> None:
    application.answer = answer
    async with hook_of(application) as hook:
        assert await hook.judge(SAID) == verdict


WRONG: list[tuple[int, Any]] = [
    (500, {"allow": True}),
    (302, {"allow": True}),
    (403, {"allow": True}),
    (200, "no JSON"),
    (200, {}),
    (200, []),
    (200, None),
    (200, {"allow": "yes"}),
    (200, {"allow": 1}),
    (200, {"allow": ["send"]}),
    (200, {"allow": True, "message": ""}),
    (200, {"allow": True, "message": 7}),
    (200, {"allow": True, "message": "x" * 4097}),
    (200, '{"allow": true, "message": "\\ud83d"}'),
    (200, '{"allow": true, "more": "' + "x" * 70_000 + '"}'),
]


@pytest.mark.parametrize(("status", "answer"), WRONG)
async def test_what_is_no_answer_is_none(application: Answering, status: int, answer: Any) -> None:
    application.status, application.answer = status, answer
    async with hook_of(application) as hook:
        with pytest.raises(HookAway):
            await hook.judge(SAID)


async def test_no_answer_within_a_second_is_none(application: Answering) -> None:
    application.held = asyncio.Event()
    async with hook_of(application) as hook:
        async with asyncio.timeout(30):
            with pytest.raises(HookAway):
                await hook.judge(SAID)
        application.held.set()


async def test_after_many_failures_it_is_left_alone_for_a_while(application: Answering) -> None:
    clock, application.status = Clock(), 500
    async with hook_of(application, clock) as hook:
        for _ in range(WINDOW + 5):
            with pytest.raises(HookAway):
                await hook.judge(SAID)
        assert len(application.asked) == WINDOW
        application.status = 200
        clock.now_s += PAUSE_S + 0.1
        assert (await hook.judge(SAID)).is_allowed


async def test_so_many_are_asked_at_once_and_the_next_one_fails_at_once(application: Answering) -> None:
    application.held = asyncio.Event()
    async with hook_of(application) as hook:
        waiting = [asyncio.create_task(hook.judge(SAID)) for _ in range(IN_FLIGHT_MAX)]
        await until(lambda: hook._asking == IN_FLIGHT_MAX, what="all are asked")
        begun = send_hook_answers._by_reason["too_many"]
        with pytest.raises(HookAway):
            await hook.judge(SAID)
        assert send_hook_answers._by_reason["too_many"] == begun + 1
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert hook._asking == 0, "who gives up leaves no question behind"
        application.held.set()


async def test_the_same_message_with_its_key_is_told_the_same_for_a_while(application: Answering) -> None:
    clock, with_key = Clock(), SAID._replace(key="k")
    async with hook_of(application, clock) as hook:
        application.answer = {"allow": False, "message": "Be kind."}
        refused = await hook.judge(with_key)
        application.answer = {"allow": True}
        clock.now_s += REMEMBERED_S - 1
        assert await hook.judge(with_key) == refused
        assert len(application.asked) == 1
        others: dict[str, Any] = {
            "key": "l",
            "message": "Hi",
            "meta": b"{}",
            "room": "b",
            "username": "Bo",
            "user": "7",
        }
        for field, value in others.items():
            assert (await hook.judge(with_key._replace(**{field: value}))).is_allowed, field
        clock.now_s += 1.1
        assert (await hook.judge(with_key)).is_allowed
        await hook.judge(SAID)
        await hook.judge(SAID)
        assert len(application.asked) == 1 + len(others) + 1 + 2, "without a key nothing is remembered"


async def test_no_more_answers_are_remembered_than_so_many(application: Answering) -> None:
    async with hook_of(application) as hook:
        for number in range(REMEMBERED_MAX + 10):
            hook._remember(SAID._replace(key=f"k{number}"), Verdict(True, "Hello"))
        assert len(hook._remembered) == REMEMBERED_MAX
        assert SAID._replace(key="k9") not in hook._remembered
