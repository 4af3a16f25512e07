"""The store over a connection that is kept: found again after every break, and answered for meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import StoreUnavailable
from gateway.metric_kinds import Counter
from gateway.pauses import Backoff
from gateway.redis.address import FixedFinder, endpoint_of, open_connection
from gateway.redis.commands import PrimaryCommands
from gateway.redis.connection import CommandConnection
from gateway.redis.reconnect import REFUSED, UNREACHABLE, ReconnectingConnection
from gateway.redis.server_watch import ServerWatch
from gateway.state.history import NOTHING
from gateway.state.scripts import SNAPSHOT
from tests.support.redis_limits import SHORT_LIMITS
from tests.support.servers import Valkey
from tests.support.waiting import Stopwatch, stays, until


class Told:
    """What the commands tell: each time they stand."""

    def __init__(self, store: PrimaryCommands) -> None:
        self._store = store
        self.ups: list[bool] = []

    def on_commands_up(self) -> None:
        self.ups.append(self._store.is_up)

    def on_slots_moved(self) -> None:
        raise AssertionError("one server has no slots")


def store_of(url: str) -> PrimaryCommands:
    return PrimaryCommands(FixedFinder(endpoint_of(url)), ServerWatch(), "test-store", SHORT_LIMITS)


@pytest.mark.parametrize(("pauses", "most_s"), [(UNREACHABLE, 2.0), (REFUSED, 10.0)])
@pytest.mark.parametrize("attempt", [0, 1, 3, 5, 6, 50, 5000])
def test_waits_grow_from_50_ms_by_half_with_full_jitter(attempt: int, pauses: Backoff, most_s: float) -> None:
    waits = [pauses.pause_s(attempt) for _ in range(300)]
    longest = min(most_s, 0.05 * 1.5 ** min(attempt, 20))
    assert 0 <= min(waits) < longest * 0.2
    assert longest * 0.8 < max(waits) <= longest


async def test_starting_without_a_server_ends_in_time_and_commands_are_answered_at_once() -> None:
    store = store_of("redis://127.0.0.1:1/0")
    async with Stopwatch() as watch:
        await store.start(0.2)
    assert watch.seconds > 0.15
    assert watch.calm_seconds < 0.8
    assert not store.is_up
    with pytest.raises(StoreUnavailable):
        await store.call(b"k", "PING")
    with pytest.raises(StoreUnavailable):
        await store.run(SNAPSHOT, (b"k", b"m"), *NOTHING.arguments(), "e", 9, "", 0)
    await store.close()


async def test_a_server_that_comes_later_is_found(server: Valkey) -> None:
    server.kill()
    store = store_of(server.url)
    told = Told(store)
    await store.start(0.1, told)
    await server.start()
    await until(lambda: told.ups == [True], 4, "it is connected")
    assert await store.call(b"k", "PING") == b"PONG"
    await store.close()


async def test_each_break_is_told_and_mended(server: Valkey) -> None:
    store = store_of(server.url)
    told = Told(store)
    await store.start(10, told)
    for number in range(2):
        server.kill()
        await until(lambda: not store.is_up, 3, "the break is seen")
        await server.start()
        await until(lambda number=number: len(told.ups) == number + 2, 5, "it is mended")
        assert (await store.run(SNAPSHOT, (b"k", b"m"), *NOTHING.arguments(), "e", 9, "", 0))[1] == b"0", (
            "the scripts are there"
        )
    assert told.ups == [True] * 3
    await store.close()


async def test_dropping_opens_another_connection(server: Valkey) -> None:
    store = store_of(server.url)
    told = Told(store)
    await store.start(10, told)
    first = await store.call(b"k", "CLIENT", "ID")
    store.drop("because the test says so")
    assert not store.is_up or told.ups == [True]
    await until(lambda: told.ups == [True, True], 2, "the old one ends and a new one stands")
    assert await store.call(b"k", "CLIENT", "ID") != first
    await store.close()


async def test_closing_answers_what_is_under_way_and_ends_the_keeping(server: Valkey) -> None:
    store = store_of(server.url)
    await store.start(10)
    server.freeze()
    try:
        waiting = store.call(b"k", "PING")
        await store.close()
        with pytest.raises(StoreUnavailable):
            await asyncio.wait_for(waiting, 10)
    finally:
        server.thaw()


async def test_a_connection_carries_its_name(server: Valkey) -> None:
    store = store_of(server.url)
    await store.start(10)
    assert await store.call(b"k", "CLIENT", "GETNAME") == b"test-store"
    await store.close()


async def test_links_that_break_as_soon_as_they_are_open_are_not_opened_without_pause(server: Valkey) -> None:
    opened = 0

    def on_up(connection: CommandConnection) -> None:
        nonlocal opened
        opened += 1
        connection.abort()

    async def connect(on_lost: object) -> CommandConnection:
        return await open_connection(
            endpoint_of(server.url),
            lambda: CommandConnection(on_lost, SHORT_LIMITS),  # type: ignore[arg-type]
            "test-kept",
        )

    reconnecting: ReconnectingConnection[CommandConnection] = ReconnectingConnection(
        "test", connect, on_up, lambda: None, Counter("gateway_x_total", "X.")
    )
    reconnecting.start()
    await until(lambda: opened >= 3, 3, "it is tried again")
    await stays(lambda: opened < 20, 0.5, "with pauses")
    await reconnecting.close()
