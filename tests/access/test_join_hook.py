"""The hook that decides about joins: asked once, remembered for a while, left alone when it fails; by a real server."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.access.application import IN_FLIGHT_MAX, PAUSE_S, WINDOW
from gateway.access.hook_request import HookRequests
from gateway.access.identity import GUEST, Identity
from gateway.access.join_hook import REMEMBERED_MAX, Answer, JoinHook
from gateway.access.permissions import HookAway, Permissions
from gateway.access.rights import JOIN, SEND
from gateway.access.room_rules import RoomRule, RoomRules
from gateway.access.standard_webhooks import read_secret
from tests.support.application import Application, Clock, running
from tests.support.waiting import until

ANN = Identity(user="ann", name="Ann")
SECRET = b"s" * 24


@pytest.fixture
async def application() -> AsyncIterator[Application]:
    async with running() as application:
        yield application


@asynccontextmanager
async def hook_of(application: Application, clock: Clock | None = None) -> AsyncIterator[JoinHook]:
    hook = JoinHook(HookRequests(application.url, SECRET), clock or Clock())
    try:
        yield hook
    finally:
        await hook.close()


async def test_it_is_asked_who_and_where_by_a_signed_post(application: Application) -> None:
    application.answer = {"allow": ["join", "send", "other"]}
    async with hook_of(application) as hook:
        assert await hook.allowed(ANN, "class:7") == JOIN | SEND
        assert await hook.allowed(GUEST, "class:7") == JOIN | SEND
    (headers, body), (_, of_guest) = application.asked
    assert json.loads(body) == {"hook": "join", "user": "ann", "name": "Ann", "room": "class:7"}
    assert json.loads(of_guest)["user"] is None
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    signature = base64.b64encode(hmac.digest(SECRET, signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{signature}"


async def test_an_answer_is_remembered_for_as_long_as_it_says_and_never_longer_than_five_minutes(
    application: Application,
) -> None:
    clock = Clock()
    async with hook_of(application, clock) as hook:
        for ttl_s, holds_s in ((0, 0), (10, 10), (9999, 300), (-1, 0), ("10", 0), (True, 0)):
            application.answer, application.asked = {"allow": ["join"], "ttl_s": ttl_s}, []
            room = f"room-{ttl_s}"
            await hook.allowed(ANN, room)
            clock.now_s += max(0, holds_s - 0.1)
            await hook.allowed(ANN, room)
            assert len(application.asked) == (1 if holds_s else 2), ttl_s
            clock.now_s += 0.2
            await hook.allowed(ANN, room)
            assert len(application.asked) == (2 if holds_s else 3), ttl_s


async def test_a_refusal_is_remembered_too_and_each_user_is_another(application: Application) -> None:
    application.answer = {"allow": [], "ttl_s": 60}
    async with hook_of(application) as hook:
        assert [await hook.allowed(ANN, "a") for _ in range(3)] == [0, 0, 0]
        await hook.allowed(Identity(user="ben"), "a")
        await hook.allowed(ANN, "b")
    assert len(application.asked) == 3


async def test_who_asks_meanwhile_gets_the_same_answer_and_who_gives_up_takes_it_from_nobody(
    application: Application,
) -> None:
    application.held = asyncio.Event()
    async with hook_of(application) as hook:
        waiting = [asyncio.create_task(hook.allowed(ANN, "a")) for _ in range(50)]
        await until(lambda: application.asked, what="it is asked")
        waiting[0].cancel()
        application.held.set()
        rights = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(rights[0], asyncio.CancelledError)
    assert rights[1:] == [JOIN] * 49
    assert len(application.asked) == 1


WRONG: list[tuple[int, Any]] = [
    (500, {"allow": ["join"]}),
    (204, ""),
    (302, {"allow": ["join"]}),
    (403, {"allow": ["join"]}),
    (200, "no JSON"),
    (200, {"allow": "join"}),
    (200, {"allow": [1]}),
    (200, {}),
    (200, []),
    (200, '{"allow": ["join"], "more": "' + "x" * 70_000 + '"}'),
]


@pytest.mark.parametrize(("status", "answer"), WRONG)
async def test_what_is_no_answer_allows_nothing(application: Application, status: int, answer: Any) -> None:
    application.status, application.answer = status, answer
    async with hook_of(application) as hook:
        with pytest.raises(HookAway):
            await hook.allowed(ANN, "a")


async def test_no_answer_within_a_second_is_none(application: Application) -> None:
    application.held = asyncio.Event()
    async with hook_of(application) as hook:
        async with asyncio.timeout(30):
            with pytest.raises(HookAway):
                await hook.allowed(ANN, "a")
        application.held.set()


async def test_after_many_failures_it_is_left_alone_for_a_while() -> None:
    clock = Clock()
    async with running() as application:
        application.status = 500
        async with hook_of(application, clock) as hook:
            for number in range(WINDOW + 5):
                with pytest.raises(HookAway):
                    await hook.allowed(ANN, f"room-{number}")
            assert len(application.asked) == WINDOW
            application.status = 200
            clock.now_s += PAUSE_S + 0.1
            assert await hook.allowed(ANN, "a") == JOIN


class ByHand:
    """Questions that are answered by the test."""

    def __init__(self) -> None:
        self.asked = 0
        self.answered = asyncio.Event()

    async def ask(self, identity: Identity, room: str) -> Answer:
        self.asked += 1
        await self.answered.wait()
        return Answer(JOIN, 60)

    async def close(self) -> None:
        """Nothing is open."""


async def test_so_many_are_asked_at_once_and_the_next_one_is_refused_at_once() -> None:
    questions = ByHand()
    hook = JoinHook(questions)
    waiting = [asyncio.create_task(hook.allowed(ANN, f"room-{number}")) for number in range(IN_FLIGHT_MAX)]
    await until(lambda: questions.asked == IN_FLIGHT_MAX, what="all are asked")
    with pytest.raises(HookAway):
        await hook.allowed(ANN, "one more")
    questions.answered.set()
    assert await asyncio.gather(*waiting) == [JOIN] * IN_FLIGHT_MAX
    await hook.close()


async def test_no_more_answers_are_remembered_than_so_many() -> None:
    questions = ByHand()
    questions.answered.set()
    hook = JoinHook(questions)
    for number in range(REMEMBERED_MAX + 10):
        await hook.allowed(ANN, f"room-{number}")
    assert len(hook._remembered) == REMEMBERED_MAX
    await hook.close()


async def test_only_rules_that_say_so_ask_it_and_only_if_it_can_change_something(
    application: Application,
) -> None:
    application.answer = {"allow": ["join", "send"]}
    rules = RoomRules(
        [
            RoomRule(match="open", join="anyone"),
            RoomRule(match="both:*", join="users", send="hook"),
            RoomRule(match="asks", join="hook"),
        ]
    )
    async with hook_of(application) as hook:
        permissions = Permissions(rules, hook)
        assert await permissions.decide(GUEST, "open") & JOIN
        assert await permissions.decide(GUEST, "both:1") == 0
        assert await permissions.decide(GUEST, "no rule") == 0
        assert application.asked == []
        assert await permissions.decide(ANN, "both:1") & SEND
        assert await permissions.decide(GUEST, "asks") & JOIN
    assert len(application.asked) == 2
    assert await Permissions(rules).decide(GUEST, "asks") == 0, "without a hook nobody is let in"


@pytest.mark.parametrize("text", ["", "short", base64.b64encode(b"x" * 23).decode(), "not base64!" * 10])
def test_a_secret_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="it is"):
        read_secret(text)


def test_a_secret_is_read_with_and_without_its_prefix() -> None:
    text = base64.b64encode(SECRET).decode()
    assert read_secret(f"{text}\n") == read_secret(f"whsec_{text}") == SECRET
