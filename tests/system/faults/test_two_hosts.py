"""Two hosts, each in a network namespace of its own: cut off, lost, restarted one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.hosts import DistantGateway, DistantValkey, Site, two_hosts
from tests.support.waiting import Stopwatch, until
from tests.system.faults.repeated import repeated
from tests.system.faults.scene import Scene, Stage
from tests.system.faults.traffic import Shape, Traffic

pytestmark = [pytest.mark.faults, pytest.mark.system]

WORKERS = 2
CUT_S = 12.0
CALM = Shape(pace_s=2.0)
"""Two messages a second in each room: who is held for half a minute misses fewer than 100."""
LET_GO_WITHIN_S = 25.0
"""HAProxy lets go of a host that says nothing after 15 s (`tcp-ut`), and its members come back within a few more."""


@asynccontextmanager
async def hosts(stage: Stage) -> AsyncIterator[tuple[Site, Scene[DistantValkey]]]:
    """Both hosts, and people on all of their workers."""
    async with two_hosts(WORKERS, GATEWAY_DRAIN_S="2") as site:
        async with Traffic([site.url], stage.seed, CALM, workers=2 * WORKERS) as traffic:
            scene = Scene(site.store, site.gateways[0], traffic, stage.keep)
            yield site, scene
            assert scene.verdicts, "this test never asked for the verdict"


@repeated(quick=None, long=3)
async def test_a_cut_between_a_host_and_the_store_loses_nothing(stage: Stage) -> None:
    async with hosts(stage) as (site, scene):
        for number in range(stage.times):
            gateway = site.gateways[number % 2]
            await scene.traffic.flow()
            with site.network.cut(gateway.host, site.store.host):
                async with Stopwatch() as watch:
                    await until(lambda gateway=gateway: _is_out(gateway), CUT_S, "its host is not ready")
                scene.worst("not_ready_s", watch.calm_seconds)
                await asyncio.sleep(CUT_S)  # that is how long it lasts
            await scene.resume(LET_GO_WITHIN_S)
            await gateway.until_ready()
        report = await scene.judge(resumed_within_s=None)
        assert (report.lost, report.gaps, report.epochs) == (0, 0, 1)


@repeated(quick=None, long=2)
async def test_a_host_that_is_cut_off_from_all_others_loses_nothing(stage: Stage) -> None:
    async with hosts(stage) as (site, scene):
        for number in range(stage.times):
            gateway = site.gateways[number % 2]
            await scene.traffic.flow()
            site.network.unplug(gateway.host)
            await scene.resume(LET_GO_WITHIN_S + CUT_S)
            site.network.plug(gateway.host)
            await gateway.until_ready()
            await scene.traffic.flow(limit_s=LET_GO_WITHIN_S)
        report = await scene.judge(resumed_within_s=LET_GO_WITHIN_S)
        assert (report.lost, report.gaps, report.epochs) == (0, 0, 1)


@repeated(quick=None, long=2)
async def test_a_host_that_is_lost_loses_nothing_and_its_members_are_at_the_other(stage: Stage) -> None:
    async with hosts(stage) as (site, scene):
        for number in range(stage.times):
            lost, stays = site.gateways[number % 2], site.gateways[1 - number % 2]
            await scene.traffic.flow()
            names = await stays.worker_names()
            site.network.unplug(lost.host)  # before it dies: a host without power sends no word that it does
            lost.kill()
            await scene.resume(LET_GO_WITHIN_S + CUT_S)
            assert set(scene.traffic.workers()) <= names
            site.network.plug(lost.host)
            await lost.start()
            await scene.traffic.flow()
        report = await scene.judge(resumed_within_s=LET_GO_WITHIN_S)
        assert (report.lost, report.gaps, report.epochs) == (0, 0, 1)


@repeated(quick=None, long=2)
async def test_a_rolling_restart_over_two_hosts_loses_nothing(stage: Stage) -> None:
    async with hosts(stage) as (site, scene):
        for _ in range(stage.times):
            for gateway in site.gateways:
                await scene.traffic.flow()
                await gateway.stop()
                await gateway.start()
                await asyncio.sleep(2)  # HAProxy asks /readyz twice before it trusts a gateway again
        await scene.resume()
        report = await scene.judge()
        assert (report.lost, report.gaps, report.epochs) == (0, 0, 1)


async def _is_out(gateway: DistantGateway) -> bool:
    return (await gateway.readiness())[0] == 503
