"""Sentinel and Cluster: primaries die, stand still and come back; slots move under traffic."""

from __future__ import annotations

from collections import Counter
from functools import partial

import pytest

from tests.support.servers import Valkey
from tests.support.topologies import Cluster, SentinelSet, cluster, sentinels
from tests.support.waiting import stays, until
from tests.system.faults.repeated import repeated
from tests.system.faults.scene import AnyStore, Scene, Stage

pytestmark = [pytest.mark.faults, pytest.mark.system]

DEMOTED_WITHIN_S = 40.0
RESUME_LIMIT_S = SETTLE_LIMIT_S = 30.0
"""Two servers find out who is the primary meanwhile, so that a wait is longer than on one server."""


@repeated(quick=1, long=4)
async def test_sentinel_failover_by_kill_loses_nothing_in_silence(stage: Stage) -> None:
    async with stage.scene(sentinels()) as scene:
        for number in range(stage.times):
            await scene.traffic.flow()
            old = await scene.store.primary()
            old.kill()
            await scene.store.until_switched(old)
            await scene.resume(RESUME_LIMIT_S)
            if number + 1 < stage.times:
                await old.start()
                await _is_a_replica_again(old, scene, calm_s=2)
        await scene.judge(SETTLE_LIMIT_S)


@repeated(quick=None, long=1)
async def test_sentinel_failover_with_wait_loses_nothing_at_all(stage: Stage) -> None:
    options = {"GATEWAY_PUBLISH_WAIT_REPLICAS": "1"}
    async with stage.scene(sentinels(replicas=2), environment=options) as scene:
        await scene.traffic.flow()
        old = await scene.store.primary()
        old.kill()
        await scene.store.until_switched(old)
        await scene.resume(RESUME_LIMIT_S)
        report = await scene.judge(SETTLE_LIMIT_S)
        assert report.lost == 0


@repeated(quick=None, long=3)
async def test_sentinel_failover_while_the_primary_stands_still_loses_nothing_in_silence(
    stage: Stage,
) -> None:
    async with stage.scene(sentinels()) as scene:
        for _ in range(stage.times):
            await scene.traffic.flow()
            old = await _replaced_while_it_stood_still(scene.store)
            await scene.resume(RESUME_LIMIT_S)
            await _is_a_replica_again(old, scene, calm_s=2)
        await scene.judge(SETTLE_LIMIT_S)


LAGGING = ("--min-replicas-to-write", "1", "--min-replicas-max-lag", "2")


@pytest.mark.parametrize(("wait", "options"), [("1", ()), ("0", LAGGING)], ids=["wait", "min-replicas"])
@repeated(quick=None, long=2)
async def test_a_primary_that_stood_still_and_has_no_replica_any_more_takes_nothing(
    wait: str, options: tuple[str, ...], stage: Stage
) -> None:
    """With one replica the old primary, which nobody follows any more, can acknowledge nothing with a WAIT; nor can the
    new one until the old one follows it."""
    environment = {"GATEWAY_PUBLISH_WAIT_REPLICAS": wait}
    async with stage.scene(sentinels(options=options), environment=environment) as scene:
        for _ in range(stage.times):
            await scene.traffic.flow()
            await _replaced_while_it_stood_still(scene.store)
            await scene.traffic.flow(rounds=1, limit_s=60)
        report = await scene.judge(limit_s=60)
        if wait != "0":
            assert report.lost == 0


@repeated(quick=None, long=3)
async def test_a_cluster_primary_that_stood_still_loses_nothing_in_silence(stage: Stage) -> None:
    async with stage.scene(cluster()) as scene:
        for _ in range(stage.times):
            await scene.traffic.flow()
            slot, victim = await _busiest(scene)
            victim.freeze()
            try:
                await until(partial(_is_served, scene.store, slot, victim), 30, "a replica took over")
            finally:
                victim.thaw()
            await scene.store.until_whole()
            await scene.resume(RESUME_LIMIT_S)
            await _is_a_replica_again(victim, scene, calm_s=3)
        await scene.judge(SETTLE_LIMIT_S)


@repeated(quick=1, long=3)
async def test_a_cluster_primary_killed_loses_nothing_in_silence(stage: Stage) -> None:
    async with stage.scene(cluster()) as scene:
        for number in range(stage.times):
            await scene.traffic.flow()
            slot, victim = await _busiest(scene)
            victim.kill()
            await until(partial(_is_served, scene.store, slot), 30, "a replica took over")
            await scene.store.until_whole()
            await scene.resume(RESUME_LIMIT_S)
            if number + 1 < stage.times:
                await victim.start()
                await _is_a_replica_again(victim, scene, calm_s=3)
        await scene.judge(SETTLE_LIMIT_S)


@repeated(quick=None, long=20)
async def test_slots_that_move_under_traffic_lose_nothing(stage: Stage) -> None:
    async with stage.scene(cluster()) as scene:
        store, traffic = scene.store, scene.traffic
        for number in range(stage.times):
            slot = await store.slot_of(traffic.rooms[number % len(traffic.rooms)])
            source = await store.owner(slot)
            others = [node for node in store.nodes if node is not source and await node.role() == "master"]
            await store.move_slot(slot, traffic.random.choice(others))
            await traffic.flow(rounds=1)
        report = await scene.judge(SETTLE_LIMIT_S)
        assert (report.lost, report.gaps, report.epochs) == (0, 0, 1)


async def _is_a_replica_again(server: Valkey, scene: Scene[AnyStore], calm_s: float) -> None:
    """The server that was the primary follows the new one; then nothing happens for a while."""
    await until(server.follows, DEMOTED_WITHIN_S, "the old primary is a replica")
    await stays(lambda: scene.traffic.is_running, for_s=calm_s)


async def _replaced_while_it_stood_still(store: SentinelSet) -> Valkey:
    """Stops the primary, lets it go on as soon as another took over, and returns it."""
    old = await store.primary()
    old.freeze()
    try:
        await store.until_switched(old)
    finally:
        old.thaw()
    return old


async def _busiest(scene: Scene[Cluster]) -> tuple[int, Valkey]:
    """The slot of a room of the primary that holds most of them, and that primary."""
    slots = [await scene.store.slot_of(room) for room in scene.traffic.rooms]
    owners = [await scene.store.owner(slot) for slot in slots]
    busiest = Counter(owners).most_common(1)[0][0]
    return slots[owners.index(busiest)], busiest


async def _is_served(store: Cluster, slot: int, except_node: Valkey | None = None) -> bool:
    try:
        return await store.owner(slot) is not except_node
    except AssertionError:
        return False
