"""Redis away while the gateway runs: it says so in time, keeps its members, and goes on by itself."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
import pytest_asyncio

from tests.support.clients import Member
from tests.support.gateways import Gateway, fetch_json
from tests.support.opener import Opener
from tests.support.servers import PERSISTENCE, Valkey
from tests.support.waiting import Stopwatch, until

UNAVAILABLE_WITHIN_S = 2.0
MACHINE_IS_BUSY_S = 0.8
"""Added to the promise, because the clock here also counts what holds up the gateway on a loaded test machine."""


class Pair(NamedTuple):
    """A gateway and the store that is its own."""

    gateway: Gateway
    store: Valkey


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair() -> AsyncIterator[Pair]:
    """Two workers that notice silence sooner than by default, and a store that keeps what is acknowledged."""
    store = Valkey(*PERSISTENCE["always"])
    await store.start()
    try:
        async with Gateway(store.url, workers=2, GATEWAY_PROBE_S="0.5", GATEWAY_DEAF_S="1.5") as gateway:
            yield Pair(gateway, store)
    finally:
        store.close()


@pytest.fixture
async def members(pair: Pair, room: str, connect: Opener) -> list[Member]:
    """Six members of one room, on either worker, that have seen one message."""
    members = [await connect(pair.gateway.url) for _ in range(6)]
    for number, member in enumerate(members):
        await member.join(f"user-{number}", room)
    await members[0].send(room, "before")
    await until(
        lambda: all(member.messages(room) == ["before"] for member in members), what="the first message"
    )
    return members


async def test_a_store_that_hangs_is_answered_unavailable_in_time_and_service_resumes(
    pair: Pair, members: list[Member], room: str
) -> None:
    pair.store.freeze()
    try:
        await _is_answered_unavailable(members[0], room)
        await _is_not_ready_and_says_why(pair.gateway)
    finally:
        pair.store.thaw()
    await _goes_on(pair.gateway, members, room)


async def test_a_store_that_dies_and_comes_back_has_lost_nothing_acknowledged(
    pair: Pair, members: list[Member], room: str
) -> None:
    pair.store.kill()
    await _is_answered_unavailable(members[0], room)
    await _is_not_ready_and_says_why(pair.gateway)
    await pair.store.start()
    await _goes_on(pair.gateway, members, room)


async def test_a_retry_with_the_same_idempotency_key_is_stored_once(
    pair: Pair, members: list[Member], room: str
) -> None:
    pair.store.freeze()
    try:
        answer = await members[0].send(room, "again", idempotency_key="k")
        assert answer["code"] == "unavailable"
    finally:
        pair.store.thaw()
    await pair.gateway.until_ready()
    retried = await members[0].send(room, "again", idempotency_key="k")
    assert retried["ok"] is True
    await members[1].send(room, "after")
    await until(
        lambda: all(member.messages(room)[-1] == "after" for member in members), what="the last message"
    )
    assert {tuple(member.messages(room)) for member in members} == {("before", "again", "after")}


async def test_the_workers_are_the_same_after_all_that(pair: Pair) -> None:
    assert len(pair.gateway.worker_pids()) == 2
    assert "Traceback" not in pair.gateway.log()
    os.kill(pair.gateway.master_pid, 0)


async def test_a_gateway_that_starts_before_its_store_waits_for_it(room: str, connect: Opener) -> None:
    store = Valkey(*PERSISTENCE["none"])
    try:
        async with Gateway(store.url, workers=1, wait=False) as gateway:
            await _is_not_ready_and_says_why(gateway)
            assert (await fetch_json(f"{gateway.url}/healthz"))[0] == 200
            member = await connect(gateway.url)
            assert (await member.join("early", room))["code"] == "unavailable"
            await store.start()
            await gateway.until_ready()
            assert (await member.join("early", room))["ok"] is True
    finally:
        store.close()


async def _is_answered_unavailable(member: Member, room: str) -> None:
    async with Stopwatch() as watch:
        answers = [
            await member.send(room, "lost?", idempotency_key="lost"),
            await member.join("user-0", f"{room}-new"),
        ]
    for answer in answers:
        assert (answer["ok"], answer["code"], answer["retryable"]) == (False, "unavailable", True)
    assert watch.calm_seconds < 2 * (UNAVAILABLE_WITHIN_S + MACHINE_IS_BUSY_S)
    assert [error["code"] for error in member.errors[:2]] == ["unavailable", "unavailable"]


async def _is_not_ready_and_says_why(gateway: Gateway) -> None:
    async def is_not_ready() -> bool:
        status, told = await gateway.readiness()
        return status == 503 and bool(told["reasons"])

    await until(is_not_ready, what="/readyz says 503 and why")


async def _goes_on(gateway: Gateway, members: list[Member], room: str) -> None:
    await gateway.until_ready()
    assert (await members[0].send(room, "lost?", idempotency_key="lost"))["ok"] is True
    answer = await members[1].send(room, "after")
    await until(
        lambda: all(member.messages(room)[-1] == "after" for member in members), what="delivery goes on"
    )
    for member in members:
        assert not member.closed.is_set()
        assert member.messages(room) == ["before", "lost?", "after"]
        assert member.ids(room)[-1] == answer["id"]
    assert (await members[0].join("user-0", f"{room}-new"))["ok"] is True
