"""Sentinel as a way to find the primary, with real Sentinels."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import StoreUnavailable
from gateway.redis.commands import PrimaryCommands
from gateway.redis.sentinel import SentinelFinder
from gateway.redis.server_watch import ServerWatch
from tests.support import topologies
from tests.support.redis_limits import SHORT_LIMITS
from tests.support.servers import Valkey
from tests.support.waiting import Stopwatch, until


async def test_without_sentinels_the_primary_is_unavailable() -> None:
    finder = SentinelFinder("redis+sentinel://127.0.0.1:1,127.0.0.1:2/0/mymaster")
    async with Stopwatch() as watch:
        with pytest.raises(StoreUnavailable, match="mymaster"):
            await finder.find()
    assert watch.calm_seconds < 1
    await finder.close()


async def test_a_dead_sentinel_costs_no_time(server: Valkey) -> None:
    watcher = Valkey(sentinel=f"sentinel monitor mymaster 127.0.0.1 {server.port} 1\n")
    try:
        await watcher.start()
        finder = SentinelFinder(f"redis+sentinel://127.0.0.1:1,127.0.0.1:{watcher.port}/0/mymaster")
        async with Stopwatch() as watch:
            assert (await finder.find()).port == server.port
        assert watch.calm_seconds < 1
        await finder.close()
    finally:
        watcher.close()


@pytest.mark.system
async def test_a_url_carries_database_user_and_password() -> None:
    async with topologies.sentinels("none", count=1) as servers:
        where = servers.url.removeprefix("redis+sentinel://").replace("/0/", "/3/")
        finder = SentinelFinder(f"redis+sentinel://ann:word@{where}")
        endpoint = await finder.find()
        await finder.close()
        assert endpoint.port == servers.servers[0].port
        assert (endpoint.database, endpoint.username, endpoint.password) == (3, "ann", "word")


@pytest.mark.system
async def test_the_primary_is_followed_when_another_takes_over() -> None:
    async with topologies.sentinels("none") as servers:
        finder, reasons = SentinelFinder(servers.url), list[str]()
        store = PrimaryCommands(finder, ServerWatch(), "test-sentinel", SHORT_LIMITS)
        await store.start(10)
        assert await store.call(b"k", "SET", "k", "v") == b"OK"

        def moved(reason: str) -> None:
            reasons.append(reason)
            store.drop(reason)

        watching = asyncio.create_task(finder.watch(moved))
        old = await servers.primary()
        await servers.sentinels[0].ask("SENTINEL", "FAILOVER", topologies.SERVICE)
        new = await servers.until_switched(old)
        await until(lambda: reasons, 5, "the switch is noticed")

        async def writes_to_the_new_one() -> bool:
            try:
                await store.call(b"k", "SET", "k", "v2")
            except StoreUnavailable:
                return False
            return str(await new.ask("GET", "k")) == "v2"

        await until(writes_to_the_new_one, 5, "commands reach the new primary")
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await store.close()
