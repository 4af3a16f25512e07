"""Sentinel as a way to find the primary, with real Sentinels."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import StoreUnavailable
from gateway.redis.address import open_connection
from gateway.redis.cluster.commands import ClusterCommands
from gateway.redis.cluster.slot_map import seeds_of
from gateway.redis.commands import PrimaryCommands
from gateway.redis.connection import CommandConnection
from gateway.redis.sentinel import SentinelFinder
from gateway.redis.server_watch import ServerWatch
from tests.support import topologies
from tests.support.ports import Port
from tests.support.redis_limits import SHORT_LIMITS
from tests.support.servers import Valkey
from tests.support.tls import certificate, tls_sentinel, tls_server
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


def test_user_and_password_are_decoded() -> None:
    finder = SentinelFinder("redis+sentinel://a%40nn:w%2Frd%3A@h:1/0/mine")
    assert (finder._way_in.username, finder._way_in.password) == ("a@nn", "w/rd:")


@pytest.mark.system
async def test_sentinels_and_their_primary_are_reached_over_tls() -> None:
    word = "s/cr@t"
    with (
        certificate("IP:127.0.0.1") as folder,
        tls_server(folder, password=word) as port,
        tls_sentinel(folder, "mine", port, word) as sentinel,
    ):
        place = f"127.0.0.1:{sentinel}/0/mine"
        url = f"rediss+sentinel://:s%2Fcr%40t@{place}?ssl_ca_certs={folder}/certificate"
        finder = SentinelFinder(url)

        async def is_found() -> bool:
            try:
                return (await finder.find()).port == port
            except StoreUnavailable:
                return False

        await until(is_found, 10, "the Sentinel names the primary over TLS")
        store = PrimaryCommands(finder, ServerWatch(), "test-sentinel-tls", SHORT_LIMITS)
        await store.start(10)
        assert await store.call(b"k", "SET", "k", "v") == b"OK"
        await store.close()
        await finder.close()
        stranger = SentinelFinder(f"rediss+sentinel://{place}")
        with pytest.raises(StoreUnavailable, match="certificate verify failed"):
            await stranger.find()
        await stranger.close()


@pytest.mark.system
async def test_a_cluster_is_reached_over_tls() -> None:
    with (
        certificate("IP:127.0.0.1") as folder,
        tls_server(
            folder,
            "--cluster-enabled",
            "yes",
            "--tls-cluster",
            "yes",
            "--cluster-port",
            str((bus := Port()).number),
        ) as port,
    ):
        url = f"rediss+cluster://:secret@127.0.0.1:{port}?ssl_ca_certs={folder}/certificate"
        try:
            await until(lambda: _ask(url, "PING"), 10, "the node answers over TLS")
            await _ask(url, "CLUSTER", "ADDSLOTSRANGE", "0", "16383")
            store = ClusterCommands(url, ServerWatch(), "test-cluster-tls", SHORT_LIMITS)
            await store.start(10)
            await until(lambda: store.trouble is None, 10, "the Cluster serves")

            async def is_written() -> bool:
                try:
                    return bool(await store.call(b"k", "SET", "k", "v") == b"OK")
                except StoreUnavailable:
                    return False

            await until(is_written, 10, "the Cluster takes writes")
            await store.close()
        finally:
            bus.release()


async def _ask(url: str, *command: str) -> object:
    try:
        connection = await open_connection(
            seeds_of(url)[0], lambda: CommandConnection(lambda: None, SHORT_LIMITS), "test"
        )
    except StoreUnavailable:
        return None
    try:
        return await connection.call(*command)
    finally:
        connection.abort()


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
