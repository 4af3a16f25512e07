"""Limits by rate, seen from outside: what a client is told, and who is ended for good. With the defaults."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from gateway.access.connection_limits import REFUSALS_S
from gateway.limit_options import LimitOptions
from gateway.server.app import GATEWAY, build_app
from tests.support.clients import Member
from tests.support.gateways import LIMITED, Gateway
from tests.support.opener import Opener
from tests.support.serving import serving, settings
from tests.support.stock_clients import JavaScriptClient
from tests.support.waiting import until

SCHOOL, OTHER = "203.0.113.7", "203.0.113.8"
HANDSHAKE = "/socket.io/?EIO=4&transport=polling"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def limited(redis_url: str) -> AsyncIterator[Gateway]:
    """One worker with the limits that it has by default, behind a proxy on this host."""
    async with Gateway(
        redis_url, workers=1, environment=LIMITED, GATEWAY_TRUSTED_PROXIES="127.0.0.1", GATEWAY_GRACE_S="1"
    ) as running:
        yield running


async def handshakes(url: str, number: int, forwarded: str) -> list[aiohttp.ClientResponse]:
    """So many at once, over polling, with an X-Forwarded-For; what each was answered."""
    async with aiohttp.ClientSession(headers={"X-Forwarded-For": forwarded}) as http:

        async def one() -> aiohttp.ClientResponse:
            async with http.get(url + HANDSHAKE) as response:
                await response.read()
                return response

        return await asyncio.gather(*(one() for _ in range(number)))


# -- what a client is told


async def test_more_than_20_messages_at_once_are_told_when_to_come_again(
    limited: Gateway, connect: Opener, room: str
) -> None:
    member = await connect(limited.url)
    await member.join("ada", room)
    answers = await asyncio.gather(*(member.send(room, f"{number}") for number in range(60)))
    refused = [answer for answer in answers if not answer["ok"]]
    assert [answer["ok"] for answer in answers[:20]] == [True] * 20
    assert {(answer["code"], answer["retryable"]) for answer in refused} == {("rate_limited", True)}
    times = [answer["retry_after_ms"] for answer in refused]
    assert times == sorted(times)
    assert times[0] <= 100
    assert [(error["event"], error["room"], error["code"]) for error in member.errors] == [
        ("send", room, "rate_limited")
    ] * len(refused)
    assert [error["retry_after_ms"] for error in member.errors] == times


async def test_who_comes_when_it_was_told_is_taken(limited: Gateway, connect: Opener, room: str) -> None:
    member = await connect(limited.url)
    await member.join("ada", room)

    async def say(number: int) -> int:
        """Says it until it is taken; how often it was refused."""
        refusals = 0
        while not (answer := await member.send(room, f"{number}"))["ok"]:
            refusals += 1
            await asyncio.sleep(answer["retry_after_ms"] / 1000)
        return refusals

    refusals = await asyncio.gather(*(say(number) for number in range(30)))
    assert max(refusals) == 1, "each comes once more, and is taken then"
    await until(
        lambda: sorted(map(int, member.messages(room))) == list(range(30)), what="all of them, once each"
    )


@pytest.mark.long
@pytest.mark.timeout(120)
async def test_retry_after_is_honest_to_20_ms_a_hundred_times(
    limited: Gateway, connect: Opener, room: str
) -> None:
    """At the time that was told it is taken; 20 ms before, it is refused."""
    member = await connect(limited.url)
    await member.join("ada", room)
    taken = early = probes = 0
    for number in range(100):
        while (answer := await member.send(room, "x"))["ok"]:
            pass
        told_at_s = time.monotonic() + answer["retry_after_ms"] / 1000
        if number % 2 and told_at_s - time.monotonic() > 0.03:
            await asyncio.sleep(told_at_s - time.monotonic() - 0.025)
            if time.monotonic() < told_at_s - 0.02:
                probes += 1
                early += (await member.send(room, "early"))["ok"]
        await asyncio.sleep(max(0.0, told_at_s - time.monotonic()))
        taken += (await member.send(room, "now"))["ok"]
    print(f"taken {taken} of 100 at the time told; {early} of {probes} taken 20 ms before")
    assert (taken, early) == (100, 0)
    assert probes


async def test_what_was_refused_is_counted_by_limit(limited: Gateway, connect: Opener, room: str) -> None:
    async def counted() -> int:
        async with aiohttp.ClientSession() as http, http.get(f"{limited.url}/metrics") as response:
            line = next(each for each in (await response.text()).splitlines() if 'limit="history"' in each)
            return int(line.split()[-1])

    member, before = await connect(limited.url), await counted()
    await member.join("ada", room)
    answers = await asyncio.gather(*(member.call("history", {"room": room, "limit": 1}) for _ in range(30)))
    refused = sum(answer.get("code") == "rate_limited" for answer in answers)
    assert refused
    assert await counted() - before == refused


# -- who is ended


async def test_the_21st_malformed_event_ends_a_connection_for_good(limited: Gateway, connect: Opener) -> None:
    members = await connect(limited.url), await connect(limited.url, "polling")
    await asyncio.gather(*map(ends_for_good, members))


async def ends_for_good(member: Member) -> None:
    """Sends nonsense until it is ended."""
    begun = time.monotonic()
    for _ in range(100):
        try:
            await member.emit("nonsense", {})
        except ConnectionError:
            break
        if any(each["code"] == "rate_limited" for each in member.errors):
            break
    await until(member.closed.is_set, what="the end")
    took_s = time.monotonic() - begun
    assert member.was_disconnected
    *refused, last = [(each["code"], each["retryable"]) for each in member.errors]
    assert (set(refused), last) == ({("bad_request", False)}, ("rate_limited", False))
    assert 21 <= len(refused) <= 21 + took_s * LimitOptions().refusals_max / REFUSALS_S, (
        "more only for the time that it took"
    )
    assert took_s >= 0.9, "it has a second to read why"


async def test_a_stock_client_that_is_ended_for_good_does_not_come_back(
    limited: Gateway, javascript: None
) -> None:
    async with JavaScriptClient() as client:
        await client.connect(limited.url, "websocket", reconnectionDelay=50)
        for _ in range(25):
            await client.emit("nonsense", {})
        await until(lambda: client.disconnects, what="the end")
        assert client.errors[-1]["code"] == "rate_limited"
        assert client.errors[-1]["retryable"] is False
        assert client.disconnects == ["io server disconnect"]
        assert client.connects == 1


async def test_who_flushes_1000_kept_messages_before_it_joins_again_goes_on(
    limited: Gateway, connect: Opener, room: str
) -> None:
    member = await connect(limited.url)
    kept = ({"username": "ada", "room": room, "message": f"{number}"} for number in range(1000))
    await asyncio.gather(*(member.emit("send", data) for data in kept))
    await until(lambda: len(member.errors) == 1000, what="each is answered")
    assert {error["code"] for error in member.errors} == {"not_joined", "rate_limited"}
    assert all(error["retryable"] for error in member.errors)
    assert (await member.join("ada", room))["ok"]
    assert not member.was_disconnected


async def come_back(url: str, members: int, rooms: int, name: str) -> list[Member]:
    """Members who come back into their rooms, all at once; each with what it was answered checked."""
    here = await asyncio.gather(*(Member.connect(url, limit_s=60) for _ in range(members)))
    answers = await asyncio.gather(
        *(
            member.call("join", {"username": f"u{number}", "room": f"{name}-{number}-{each}"}, 100)
            for number, member in enumerate(here)
            for each in range(rooms)
        )
    )
    assert [answer.get("code") for answer in answers if not answer["ok"]] == []
    return here


@pytest.mark.timeout(300)
async def test_50_members_who_come_back_into_100_rooms_each_are_not_limited(
    limited: Gateway, room: str
) -> None:
    for member in await come_back(limited.url, 50, 100, room):
        assert member.errors == []
        member.abort()
        await member.close()


# -- addresses


async def test_an_address_that_a_trusted_proxy_says_has_200_sessions_at_once(limited: Gateway) -> None:
    answers = await handshakes(limited.url, 260, SCHOOL)
    refused = [answer for answer in answers if answer.status == 429]
    assert {answer.status for answer in answers} == {200, 429}
    assert 200 <= len(answers) - len(refused) <= 259
    assert {answer.headers["Retry-After"] for answer in refused} == {"1"}
    assert {answer.content_type for answer in refused} == {"application/json"}
    assert [answer.status for answer in await handshakes(limited.url, 1, OTHER)] == [200]
    assert limited.log().count("too_many_from_address") <= 20


@pytest.mark.parametrize(
    "forwarded", [lambda n: "", lambda n: f"198.51.100.{n}", lambda n: "10.0.0.1, 127.0.0.1"]
)
async def test_without_trusted_proxies_a_forwarded_address_changes_nothing(
    redis_url: str, forwarded: Any
) -> None:
    options = {"GATEWAY_SHARED_NETWORKS": "-", "GATEWAY_ADDRESS_HANDSHAKES_BURST": "5"}
    slow = {"GATEWAY_ADDRESS_HANDSHAKES_PER_S": "0.01"}
    async with serving(build_app(settings(redis_url, **options, **slow))) as url:
        statuses = [(await handshakes(url, 1, forwarded(number)))[0].status for number in range(7)]
    assert statuses == [200] * 5 + [429] * 2


async def test_a_worker_that_passes_handshakes_on_does_not_count_them(redis_url: str) -> None:
    app = build_app(settings(redis_url, GATEWAY_SHARED_NETWORKS="-"))
    async with serving(app) as url:
        app[GATEWAY].health.is_draining = True
        assert (await handshakes(url, 1, ""))[0].status == 503
        assert len(app[GATEWAY].addresses) == 0
        app[GATEWAY].health.is_draining = False
        assert (await handshakes(url, 1, ""))[0].status == 200
        assert len(app[GATEWAY].addresses) == 1


async def test_a_balancer_that_nobody_named_is_told_once(redis_url: str) -> None:
    async with serving(build_app(settings(redis_url))) as url:
        with capture_logs() as logs:
            await handshakes(url, 3, SCHOOL)
    assert [line["peer"] for line in logs if line["event"] == "forwarded_address_ignored"] == ["127.0.0.1"]


async def test_sessions_of_one_address_are_bounded_where_that_is_set(redis_url: str) -> None:
    options = {"GATEWAY_SHARED_NETWORKS": "-", "GATEWAY_ADDRESS_CONNECTIONS": "3"}
    async with serving(build_app(settings(redis_url, **options))) as url:
        members = [await Member.connect(url) for _ in range(3)]
        assert (await handshakes(url, 1, ""))[0].status == 429
        await members.pop().close()

        async def is_free() -> bool:
            return (await handshakes(url, 1, ""))[0].status == 200

        await until(is_free, what="the place of who went")
        for member in members:
            await member.close()
