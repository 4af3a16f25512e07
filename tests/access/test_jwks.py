"""The keys of an identity provider: asked seldom, shared, served while it is away, and ended when it withdraws them.

The provider is an HTTP server on loopback, and the Redis a real one. What is asked of the provider is counted.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from gateway.access.fetching import BYTES_MAX, FetchFailed, fetch
from gateway.access.identifier import TokenIdentifier
from gateway.access.identity import NotAdmitted, Undecided
from gateway.access.jwks import JwksKeys
from gateway.access.tokens import TokenRules
from gateway.background import Background
from gateway.identity_options import IdentityOptions
from gateway.metrics import jwks_fetches
from gateway.redis.address import FixedFinder, endpoint_of
from gateway.redis.commands import PrimaryCommands
from gateway.redis.connection import CommandOptions
from gateway.redis.server_watch import ServerWatch
from gateway.state.shared_keys import Fetched, SharedKeys
from tests.support.tokens import JwksServer, jwk, part, rsa_key, signed
from tests.support.waiting import until


@pytest.fixture
async def idp() -> AsyncIterator[JwksServer]:
    async with JwksServer() as idp:
        idp.keys = [jwk(rsa_key(), kid="old")]
        yield idp


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[PrimaryCommands]:
    limits = CommandOptions(timeout_s=1.0, unresponsive_s=1.8)
    store = PrimaryCommands(FixedFinder(endpoint_of(redis_url)), ServerWatch(), "test-keys", limits)
    await store.start(10)
    yield store
    await store.close()


@pytest.fixture
async def background() -> AsyncIterator[Background]:
    background = Background("test")
    yield background
    await background.close()


class Worker:
    """As much of a worker as decides who somebody is."""

    def __init__(
        self, idp: JwksServer, store: PrimaryCommands, background: Background, **seconds: Any
    ) -> None:
        url = f"{idp.url}?{idp.name}"
        options = replace(
            IdentityOptions(auth="required", jwks_url=url), **{"jwks_stale_s": 3600.0, **seconds}
        )
        self.shared = SharedKeys(store, url, options.jwks_stale_s)
        self.keys = JwksKeys(options, self.shared, background)
        self.identifier = TokenIdentifier(self.keys, TokenRules(), is_required=True)

    async def admits(self, token: str) -> str:
        """`in`, `undecided`, or the cause of the refusal."""
        try:
            await self.identifier.identify(token)
        except NotAdmitted as refused:
            return refused.cause
        except Undecided:
            return "undecided"
        return "in"


def of(number: int, kid: str) -> str:
    """An honest token by the key of that number; no two are the same."""
    return signed(rsa_key(number), "RS256", kid, jti=str(time.monotonic_ns()))


def fetches_failed() -> int:
    """How often a provider was asked in vain, in this process."""
    return int(dict(jwks_fetches.samples())["failed",])


OLD, NEW = 0, 1


async def test_keys_are_read_once_and_serve_every_token(
    idp: JwksServer, store: PrimaryCommands, background: Background
) -> None:
    worker = Worker(idp, store, background)
    await worker.keys.start()
    assert [await worker.admits(of(OLD, "old")) for _ in range(5)] == ["in"] * 5
    assert await worker.admits(of(NEW, "old")) == "signature"
    assert (worker.keys.trouble, len(idp.asked)) == (None, 1)


async def test_a_worker_that_never_had_keys_is_of_no_use_and_decides_nothing(
    idp: JwksServer, store: PrimaryCommands, background: Background
) -> None:
    await idp.stop()
    worker = Worker(idp, store, background)
    await worker.keys.start()
    assert worker.keys.trouble is not None
    assert "no keys for tokens" in worker.keys.trouble.sentence
    assert await worker.admits(of(OLD, "old")) == "undecided"
    loop = background.keep(worker.keys.run(), "keys")
    await idp.start()
    await until(lambda: worker.keys.trouble is None, 5, "it asks again soon")
    assert await worker.admits(of(OLD, "old")) == "in"
    loop.cancel()


async def test_a_restart_while_the_provider_is_away_has_the_keys_from_redis(
    idp: JwksServer, store: PrimaryCommands, background: Background
) -> None:
    await Worker(idp, store, background).keys.start()
    await idp.stop()
    restarted = Worker(idp, store, background)
    await restarted.keys.start()
    assert await restarted.admits(of(OLD, "old")) == "in"


async def test_many_workers_ask_the_provider_once(
    idp: JwksServer, store: PrimaryCommands, background: Background
) -> None:
    for _ in range(5):
        worker = Worker(idp, store, background)
        await worker.keys.start()
        assert await worker.admits(of(OLD, "old")) == "in"
    assert len(idp.asked) == 1


async def test_what_redis_holds_counts_no_longer_than_the_last_good_keys_do(
    idp: JwksServer, store: PrimaryCommands, background: Background
) -> None:
    worker = Worker(idp, store, background)
    text = json.dumps({"keys": [jwk(rsa_key(), kid="old")]}).encode()
    for at_s, kept in ((time.time() - 4000, text), (time.time() + 4000, text), (time.time(), b"not keys")):
        await idp.stop()
        await worker.shared.write(Fetched(at_s, kept))
        other = Worker(idp, store, background)
        await other.keys.start()
        assert await other.admits(of(OLD, "old")) == "undecided", at_s


async def test_a_key_that_is_new_is_looked_for_once_by_all_who_wait(
    idp: JwksServer, store: PrimaryCommands, background: Background
) -> None:
    worker = Worker(idp, store, background, jwks_cooldown_s=0.1)
    await worker.keys.start()
    idp.keys.append(jwk(rsa_key(NEW), kid="new"))
    idp.delay_s = 0.2
    await asyncio.sleep(0.15)  # the cool-down
    asked = [worker.admits(of(NEW, "new")) for _ in range(20)]
    assert set(await asyncio.gather(*asked)) == {"in"}
    assert len(idp.asked) == 2


async def test_ten_thousand_unknown_keys_make_one_read_and_honest_tokens_go_on(
    idp: JwksServer, store: PrimaryCommands, background: Background
) -> None:
    worker = Worker(idp, store, background)
    await worker.keys.start()
    token = of(OLD, "x").split(".", 1)[1]
    hostile = [f"{part({'alg': 'RS256', 'kid': f'random-{number}'})}.{token}" for number in range(10_000)]
    seen = {await worker.admits(each) for each in hostile}
    assert seen == {"undecided"}, "the keys were read a moment ago"
    assert len(idp.asked) == 1
    assert await worker.admits(of(OLD, "old")) == "in"
    assert len(worker.keys._asked) <= 1024


async def test_a_key_that_a_read_did_not_bring_is_refused_for_good(
    idp: JwksServer, store: PrimaryCommands, background: Background
) -> None:
    worker = Worker(idp, store, background, jwks_cooldown_s=0.1)
    await worker.keys.start()
    await asyncio.sleep(0.15)  # the cool-down
    assert [await worker.admits(of(NEW, "new")) for _ in range(3)] == ["unknown_key"] * 3
    idp.keys.append(jwk(rsa_key(NEW), kid="new"))
    await asyncio.sleep(0.15)  # the cool-down
    assert await worker.admits(of(NEW, "new")) == "in", "it is looked for again, all the same"


async def test_a_withdrawn_key_ends_with_the_next_read_for_tokens_that_were_verified_too(
    idp: JwksServer, store: PrimaryCommands, background: Background
) -> None:
    worker = Worker(idp, store, background, jwks_refresh_s=1.0, jwks_cooldown_s=0.1)
    await worker.keys.start()
    loop = background.keep(worker.keys.run(), "keys")
    verified = of(OLD, "old")
    assert await worker.admits(verified) == "in"
    idp.keys = [jwk(rsa_key(NEW), kid="new")]

    async def is_refused() -> bool:
        return await worker.admits(verified) != "in"

    await until(is_refused, 3, "the key is withdrawn")
    assert await worker.admits(of(NEW, "new")) == "in"
    loop.cancel()


@pytest.mark.long
async def test_last_good_keys_serve_while_the_provider_is_away_and_end_when_they_are_stale(
    idp: JwksServer, store: PrimaryCommands, background: Background
) -> None:
    worker = Worker(idp, store, background, jwks_refresh_s=0.3, jwks_cooldown_s=0.1, jwks_stale_s=6.0)
    await worker.keys.start()
    loop = background.keep(worker.keys.run(), "keys")
    await idp.stop()
    failed = fetches_failed()
    await until(lambda: fetches_failed() >= failed + 2, 5, "two reads that fail")
    verified = of(OLD, "old")
    assert (await worker.admits(verified), worker.keys.trouble) == ("in", None)
    await until(lambda: worker.keys.trouble is not None, 10, "the keys are stale")
    assert await worker.admits(verified) == "undecided"
    await idp.start()
    await until(lambda: worker.keys.trouble is None, 3, "the provider is back")
    assert await worker.admits(verified) == "in"
    loop.cancel()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}), "redirects"),
        (web.Response(status=500), "answers 500"),
        (web.Response(body=b"x" * (BYTES_MAX + 1)), "longer than"),
    ],
)
async def test_an_answer_that_is_no_document_is_refused(
    idp: JwksServer, answer: web.Response, why: str
) -> None:
    idp.answer = answer
    with pytest.raises(FetchFailed, match=why):
        await fetch(idp.url)
    assert len(idp.asked) == 1


async def test_a_document_that_does_not_come_is_given_up(idp: JwksServer) -> None:
    idp.delay_s = 5
    with pytest.raises(FetchFailed, match="no answer within"):
        await fetch(idp.url, 0.1)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"keys": []}', b'{"keys": [{"kty": "oct", "k": "AA"}]}', b"\xff"]
)
async def test_a_provider_that_publishes_nonsense_changes_nothing(
    idp: JwksServer, store: PrimaryCommands, background: Background, body: bytes
) -> None:
    worker = Worker(idp, store, background, jwks_cooldown_s=0.1)
    await worker.keys.start()
    idp.answer = web.Response(body=body)
    await asyncio.sleep(0.15)  # the cool-down
    assert await worker.admits(of(NEW, "new")) == "undecided"
    assert await worker.admits(of(OLD, "old")) == "in"


async def test_a_secret_among_published_keys_signs_nothing(
    idp: JwksServer, store: PrimaryCommands, background: Background
) -> None:
    idp.keys.append(
        {"kty": "oct", "kid": "hs", "alg": "HS256", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"}
    )
    worker = Worker(idp, store, background)
    await worker.keys.start()
    assert await worker.admits(signed(b"secret-secret-secret-secret-secret", kid="hs")) in (
        "undecided",
        "unknown_key",
    )
    assert await worker.admits(signed(b"secret-secret-secret-secret-secret", kid="old")) == "algorithm"


async def test_redis_away_is_no_reason_to_have_no_keys(idp: JwksServer, background: Background) -> None:
    away = PrimaryCommands(
        FixedFinder(endpoint_of("redis://127.0.0.1:1/0")),
        ServerWatch(),
        "test-keys",
        CommandOptions(timeout_s=1.0, unresponsive_s=1.8),
    )
    worker = Worker(idp, away, background)
    await worker.keys.start()
    assert await worker.admits(of(OLD, "old")) == "in"
    await away.close()
