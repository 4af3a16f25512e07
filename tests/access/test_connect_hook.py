"""The application is asked who a client is: what it answers counts, and what is no answer lets nobody in."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from aiohttp import web

from gateway.access.application import IN_FLIGHT_MAX, PAUSE_S, WINDOW, Breaker
from gateway.access.connect_hook import ConnectHook
from gateway.access.identity import GUEST, NotAdmitted, Reason, Undecided
from gateway.access.signing_keys import keys_of_secrets
from gateway.access.tokens import TokenRules
from gateway.access.verifying_keys import KeySet
from gateway.background import Background
from tests.support.tokens import SECRET
from tests.support.waiting import until

SECRETS = KeySet(keys_of_secrets(f"one:{base64.b64encode(SECRET).decode()}"))


class Application:
    """Answers as a test says, and keeps what it was asked."""

    def __init__(self) -> None:
        self.status, self.body, self.delay_s = 200, b"{}", 0.0
        self.asked: list[tuple[bytes, dict[str, str]]] = []
        self.url = ""

    def says(self, answer: Any = None, status: int = 200) -> None:
        self.status, self.body = status, answer if isinstance(answer, bytes) else orjson.dumps(answer)

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((await request.read(), dict(request.headers)))
        await asyncio.sleep(self.delay_s)
        return web.Response(status=self.status, body=self.body, headers={"Location": self.url})


@pytest.fixture
async def application() -> AsyncIterator[Application]:
    found, app = Application(), web.Application()
    app.router.add_post("/who", found.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/who"
    yield found
    await runner.cleanup()


@asynccontextmanager
async def hook(
    application: Application, timeout_s: float = 10.0, is_required: bool = True
) -> AsyncIterator[ConnectHook]:
    background = Background("test")
    made = ConnectHook(application.url, timeout_s, TokenRules(audiences=None), is_required, SECRETS)
    await made.start()
    background.keep(made.run(), "hook")
    await asyncio.sleep(0)  # it has begun
    yield made
    await background.close()


async def test_what_the_application_answers_is_who_the_client_is(application: Application) -> None:
    ends_s = time.time() + 60
    application.says({"user": "42", "name": "Ada", "rooms": {"lobby": ["join"]}, "expires_at": ends_s})
    async with hook(application) as asked:
        found = await asked.identify("of-a-cookie")
        assert (found.user, found.name, found.expires_at_s) == ("42", "Ada", ends_s)
        assert found.grants == {"lobby": {"join"}}
        application.says({"user": "42"})
        brief = await asked.identify("of-a-cookie")
    assert brief.name is None
    assert brief.expires_at_s is not None, "a connection ends some day"


async def test_what_is_asked_is_signed(application: Application) -> None:
    application.says({"user": "42"})
    async with hook(application) as asked:
        await asked.identify("word")
    ((body, headers),) = application.asked
    assert orjson.loads(body) == {"token": "word"}
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.digest(SECRET, signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


@pytest.mark.parametrize("status", [401, 403])
async def test_whom_the_application_refuses_is_refused(application: Application, status: int) -> None:
    application.says(status=status)
    async with hook(application) as asked:
        with pytest.raises(NotAdmitted) as refused:
            await asked.identify("word")
    assert refused.value.reason is Reason.INVALID


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"", 200), (b"nonsense", 200), ([], 200), (None, 200), ({}, 200), ({"user": ""}, 200), ({"user": 1}, 200),
        ({"user": "x" * 129}, 200), ({"user": "a", "name": 1}, 200), ({"user": "a", "rooms": []}, 200),
        ({"user": "a", "expires_at": 1}, 200), ({"user": "a", "expires_at": "soon"}, 200),
        ({"user": "a", "expires_at": 1e12}, 200), (b"x" * 300_000, 200),
        ({"user": "a"}, 500), ({"user": "a"}, 302), ({"user": "a"}, 201), ({"user": "a"}, 404),
    ],
)  # fmt: skip
async def test_what_is_no_answer_decides_nothing(application: Application, answer: Any, status: int) -> None:
    application.says(answer, status)
    async with hook(application) as asked:
        with pytest.raises(Undecided):
            await asked.identify("word")
    assert len(application.asked) == 1, "one attempt"


async def test_an_application_that_is_slow_is_not_waited_for(application: Application) -> None:
    application.delay_s = 5
    async with hook(application, timeout_s=0.1) as asked:
        begun_s = time.monotonic()
        with pytest.raises(Undecided):
            await asked.identify("word")
    assert time.monotonic() - begun_s < 4


async def test_without_a_token_nobody_is_asked(application: Application) -> None:
    async with hook(application, is_required=False) as asked:
        assert await asked.identify(None) is GUEST
    async with hook(application) as asked:
        for token, reason in (
            (None, Reason.MISSING),
            ("x" * 9000, Reason.MALFORMED),
            ("a\n", Reason.MALFORMED),
        ):
            with pytest.raises(NotAdmitted) as refused:
                await asked.identify(token)
            assert refused.value.reason is reason
    assert application.asked == []


async def test_only_so_many_are_asked_at_once(application: Application) -> None:
    application.says({"user": "42"})
    application.delay_s = 0.3
    async with hook(application) as asked:
        waiting = [asyncio.create_task(asked.identify("word")) for _ in range(IN_FLIGHT_MAX)]
        await until(lambda: len(application.asked) == IN_FLIGHT_MAX, what="all are asked")
        with pytest.raises(Undecided):
            await asked.identify("word")
        await asyncio.gather(*waiting)
        assert (await asked.identify("word")).user == "42"


async def test_an_application_that_fails_is_left_alone_for_a_while(application: Application) -> None:
    application.says(status=500)
    async with hook(application) as asked:
        for _ in range(WINDOW + 30):
            with pytest.raises(Undecided):
                await asked.identify("word")
    assert len(application.asked) == WINDOW


def test_the_breaker_opens_at_half_and_closes_by_itself() -> None:
    breaker = Breaker()
    for number in range(WINDOW):
        assert not breaker.is_open(0.0)
        breaker.note(number % 2 == 0, 0.0)
    assert breaker.is_open(PAUSE_S - 0.1)
    assert not breaker.is_open(PAUSE_S)
    for number in range(WINDOW):
        breaker.note(number % 3 != 0, PAUSE_S)
    assert not breaker.is_open(PAUSE_S)
