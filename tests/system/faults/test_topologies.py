"""Sentinel and Cluster: primaries die, stand still and come back; slots move under traffic."""

from __future__ import annotations

import time
from collections import Counter
from functools import partial

import pytest

from loadtest.ledger import Report
from tests.support.gateways import Gateway
from tests.support.servers import Valkey
from tests.support.topologies import Cluster, SentinelSet, cluster, sentinels
from tests.support.waiting import Stopwatch, stays, until
from tests.system.faults.conftest import Record
from tests.system.faults.repeated import repeated
from tests.system.faults.traffic import Traffic

pytestmark = [pytest.mark.faults, pytest.mark.system]

RESUMED_WITHIN_S = 2.0
DEMOTED_WITHIN_S = 40.0


async def _resumed_s(traffic: Traffic, at: float) -> float:
    async with Stopwatch() as watch:
        await traffic.flow(rounds=1, limit_s=30)
    return traffic.ledger.resumed_after_s(at) - watch.held_up_s


async def _judge(
    traffic: Traffic, record: Record, times: int, resumed_s: float | None = None, limit_s: float = 30
) -> Report:
    """What every test here ends with."""
    report = await traffic.verdict(limit_s=limit_s)
    figures = {} if resumed_s is None else {"resumed_s": resumed_s}
    record(report, times, traffic.connections, **figures)
    traffic.assert_clean(report)
    assert resumed_s is None or resumed_s <= RESUMED_WITHIN_S
    return report


@repeated(quick=1, long=4)
async def test_sentinel_failover_by_kill_loses_nothing_in_silence(
    seed: int, times: int, record: Record
) -> None:
    async with sentinels() as store, Gateway(store.url) as gateway, Traffic([gateway.url], seed) as traffic:
        resumed_s = 0.0
        for number in range(times):
            await traffic.flow()
            old = await store.primary()
            old.kill()
            await store.until_switched(old)
            resumed_s = max(resumed_s, await _resumed_s(traffic, time.monotonic()))
            if number + 1 < times:
                await old.start()
                await until(old.follows, DEMOTED_WITHIN_S, "the old primary is a replica")
                await stays(lambda: traffic.is_running, for_s=2)
        await _judge(traffic, record, times, resumed_s)


@repeated(quick=None, long=1)
async def test_sentinel_failover_with_wait_loses_nothing_at_all(
    seed: int, times: int, record: Record
) -> None:
    async with (
        sentinels(replicas=2) as store,
        Gateway(store.url, GATEWAY_PUBLISH_WAIT_REPLICAS="1") as gateway,
        Traffic([gateway.url], seed) as traffic,
    ):
        await traffic.flow()
        old = await store.primary()
        old.kill()
        await store.until_switched(old)
        resumed_s = await _resumed_s(traffic, time.monotonic())
        report = await _judge(traffic, record, times, resumed_s)
        assert report.lost == 0


@repeated(quick=None, long=3)
async def test_sentinel_failover_while_the_primary_stands_still_loses_nothing_in_silence(
    seed: int, times: int, record: Record
) -> None:
    async with sentinels() as store, Gateway(store.url) as gateway, Traffic([gateway.url], seed) as traffic:
        resumed_s = 0.0
        for _ in range(times):
            await traffic.flow()
            old = await _replaced_while_it_stood_still(store)
            resumed_s = max(resumed_s, await _resumed_s(traffic, time.monotonic()))
            await until(old.follows, DEMOTED_WITHIN_S, "the old primary is a replica")
            await stays(lambda: traffic.is_running, for_s=2)
        await _judge(traffic, record, times, resumed_s)


LAGGING = ("--min-replicas-to-write", "1", "--min-replicas-max-lag", "2")


@pytest.mark.parametrize(("wait", "options"), [("1", ()), ("0", LAGGING)], ids=["wait", "min-replicas"])
@repeated(quick=None, long=2)
async def test_a_primary_that_stood_still_and_has_no_replica_any_more_takes_nothing(
    wait: str, options: tuple[str, ...], seed: int, times: int, record: Record
) -> None:
    """With one replica the old primary, which nobody follows any more, can acknowledge nothing with a WAIT; nor can the
    new one until the old one follows it."""
    async with (
        sentinels(options=options) as store,
        Gateway(store.url, GATEWAY_PUBLISH_WAIT_REPLICAS=wait) as gateway,
        Traffic([gateway.url], seed) as traffic,
    ):
        for _ in range(times):
            await traffic.flow()
            await _replaced_while_it_stood_still(store)
            await traffic.flow(rounds=1, limit_s=60)
        report = await _judge(traffic, record, times, limit_s=60)
        if wait != "0":
            assert report.lost == 0


@repeated(quick=None, long=3)
async def test_a_cluster_primary_that_stood_still_loses_nothing_in_silence(
    seed: int, times: int, record: Record
) -> None:
    async with cluster() as store, Gateway(store.url) as gateway, Traffic([gateway.url], seed) as traffic:
        resumed_s = 0.0
        for _ in range(times):
            await traffic.flow()
            slot, victim = await _busiest(store, traffic)
            victim.freeze()
            try:
                await until(partial(_is_served, store, slot, victim), 30, "a replica took over")
            finally:
                victim.thaw()
            await store.until_whole()
            resumed_s = max(resumed_s, await _resumed_s(traffic, time.monotonic()))
            await until(victim.follows, DEMOTED_WITHIN_S, "it is a replica")
            await stays(lambda: traffic.is_running, for_s=3)
        await _judge(traffic, record, times, resumed_s)


@repeated(quick=1, long=3)
async def test_a_cluster_primary_killed_loses_nothing_in_silence(
    seed: int, times: int, record: Record
) -> None:
    async with cluster() as store, Gateway(store.url) as gateway, Traffic([gateway.url], seed) as traffic:
        resumed_s = 0.0
        for number in range(times):
            await traffic.flow()
            slot, victim = await _busiest(store, traffic)
            victim.kill()
            await until(partial(_is_served, store, slot), 30, "a replica took over")
            await store.until_whole()
            resumed_s = max(resumed_s, await _resumed_s(traffic, time.monotonic()))
            if number + 1 < times:
                await victim.start()
                await until(victim.follows, DEMOTED_WITHIN_S, "it is a replica")
                await stays(lambda: traffic.is_running, for_s=3)
        await _judge(traffic, record, times, resumed_s)


@repeated(quick=None, long=20)
async def test_slots_that_move_under_traffic_lose_nothing(seed: int, times: int, record: Record) -> None:
    async with cluster() as store, Gateway(store.url) as gateway, Traffic([gateway.url], seed) as traffic:
        for number in range(times):
            slot = await store.slot_of(traffic.rooms[number % len(traffic.rooms)])
            source = await store.owner(slot)
            others = [node for node in store.nodes if node is not source and await node.role() == "master"]
            await store.move_slot(slot, traffic.random.choice(others))
            await traffic.flow(rounds=1)
        report = await _judge(traffic, record, times)
        assert (report.lost, report.gaps, report.epochs) == (0, 0, 1)


async def _replaced_while_it_stood_still(store: SentinelSet) -> Valkey:
    """Stops the primary, lets it go on as soon as another took over, and returns it."""
    old = await store.primary()
    old.freeze()
    try:
        await store.until_switched(old)
    finally:
        old.thaw()
    return old


async def _busiest(store: Cluster, traffic: Traffic) -> tuple[int, Valkey]:
    """The primary that holds most of the rooms, and the slot of one of them."""
    slots = [await store.slot_of(room) for room in traffic.rooms]
    owners = [await store.owner(slot) for slot in slots]
    busiest = Counter(owners).most_common(1)[0][0]
    return slots[owners.index(busiest)], busiest


async def _is_served(store: Cluster, slot: int, but: Valkey | None = None) -> bool:
    try:
        return await store.owner(slot) is not but
    except AssertionError:
        return False
