"""Clients lose their connections, stop reading, or come back all at once."""

from __future__ import annotations

import time
from dataclasses import replace
from statistics import median

import aiohttp
import psutil
import pytest

from tests.support.gateways import Gateway
from tests.support.topologies import standalone
from tests.support.waiting import stays, until
from tests.system.faults.crowd import Crowd
from tests.system.faults.people import Person
from tests.system.faults.repeated import repeated
from tests.system.faults.scene import Stage
from tests.system.faults.traffic import Shape, Traffic

pytestmark = [pytest.mark.faults, pytest.mark.system]

CROWD_ROOMS, CROWD_PEOPLE = 100, 20
BYTES_PER_STALLED = 2 * 1_048_576
"""What a member that does not read may cost a worker: the outbound buffer's limit, and as much around it."""
SLACK_BYTES = 24 * 1_048_576
STALLED_S = 25.0
LOUD = Shape(rooms=2, people=20, talkers=8, pace_s=0.13, padding=4000)
"""Enough bytes in a room that the system's buffers of somebody who does not read are soon full."""
MISSED_MESSAGES = 10
"""Of a member that is behind, before it reads again: a hundred more would be a gap."""
SLOWED_AT_MOST_S = 0.25
"""What a storm may do to the 99th percentile of the others' latency, in the median of the storms, with all of it on two
cores: it was 0.03 to 0.1 s there, and 0.1 to 0.2 s when others kept the machine three times as busy as it can be."""


@repeated(quick=5, long=100)
async def test_members_cut_and_back_with_since_miss_nothing(stage: Stage) -> None:
    async with stage.scene(standalone()) as scene:
        for _ in range(stage.times):
            for person in scene.traffic.some(0.2):
                person.cut()
            await scene.traffic.flow(rounds=1)
        report = await scene.judge()
        assert report.gaps == 0
        assert not [notice for notice in scene.traffic.notices if "has left" in notice]


@repeated(quick=None, long=3)
async def test_a_storm_of_two_thousand_members_loses_nothing_and_leaves_others_alone(stage: Stage) -> None:
    async with (
        stage.scene(standalone()) as scene,
        Crowd(scene.gateway.url, stage.seed, CROWD_ROOMS, CROWD_PEOPLE) as crowd,
    ):
        steady = scene.traffic
        back_s, calms_s, storms_s = 0.0, list[float](), list[float]()
        for _ in range(stage.times):
            calm_from = time.monotonic()
            await steady.flow(rounds=20)
            cut_at = time.monotonic()
            back_s = max(back_s, await crowd.cut_all())
            calms_s.append(steady.latency_s(steady.people, calm_from, cut_at))
            storms_s.append(steady.latency_s(steady.people, cut_at, time.monotonic()))
        calm_s, storm_s = median(calms_s), median(storms_s)
        verdict = await crowd.verdict()
        stage.keep(verdict.report, verdict.connections, {"back_s": back_s})
        scene.figures |= {"calm_p99_s": calm_s, "storm_p99_s": storm_s, "worst_storm_p99_s": max(storms_s)}
        await scene.judge()
        assert not verdict.unsettled, verdict.unsettled
        assert verdict.report.is_clean, str(verdict.report)
        assert steady.connections == len(steady.people) + steady.cuts
        assert storm_s < max(SLOWED_AT_MOST_S, 3 * calm_s)


@repeated(quick=None, long=2)
async def test_members_that_stop_reading_cost_the_others_nothing(stage: Stage) -> None:
    async with (
        stage.scene(standalone(), environment={"GATEWAY_STUCK_S": "6"}) as scene,
        Traffic([scene.gateway.url], stage.seed, LOUD) as loud,
    ):
        gateway, steady = scene.gateway, scene.traffic
        calm_from = time.monotonic()
        await steady.flow(rounds=10)
        calm_s = steady.latency_s(steady.people, calm_from, time.monotonic())
        stall_s = grown = 0.0
        for _ in range(stage.times):
            stalled = [*steady.some(0.05), *loud.some(0.05)]
            before = _resident_bytes(gateway)
            stalled_at = time.monotonic()
            _stop_reading(stalled)
            await stays(lambda: steady.is_running and loud.is_running, for_s=STALLED_S)
            others = [person for person in steady.people if person not in stalled]
            stall_s = max(stall_s, steady.latency_s(others, stalled_at, time.monotonic()))
            grown = max(grown, _resident_bytes(gateway) - before)
            _go_on_reading(stalled)
            await steady.flow()
            await loud.flow(limit_s=60)
        scene.figures |= {"calm_p99_s": calm_s, "stall_p99_s": stall_s}
        await scene.judge()
        await scene.judge_other(loud, limit_s=60, grown_mib=grown / 1_048_576)
        assert stall_s < max(0.25, 3 * calm_s)
        assert grown < len(stalled) * BYTES_PER_STALLED + SLACK_BYTES


@repeated(quick=None, long=5)
async def test_members_that_read_again_in_time_are_brought_up_from_history_without_a_gap(
    stage: Stage,
) -> None:
    async with stage.scene(standalone(), replace(LOUD, rooms=1, people=12), workers=1) as scene:
        gateway, loud = scene.gateway, scene.traffic
        for _ in range(stage.times):
            await loud.flow()
            stalled, neighbour = loud.random.sample(loud.people, 2)
            read = await _snapshots(gateway)
            _stop_reading([stalled])
            await until(
                lambda: _is_somebody_behind(gateway),
                120,
                "the system's buffers are full, and the mark is passed",
            )
            await _until_more_came(neighbour, MISSED_MESSAGES)
            assert await _snapshots(gateway) == read
            _go_on_reading([stalled])
            await loud.flow(limit_s=60)
            assert await _snapshots(gateway) > read, "it was not brought up"
        report = await scene.judge(limit_s=60)
        assert (report.gaps, loud.connections) == (0, len(loud.people))


async def _until_more_came(person: Person, messages: int) -> None:
    seen = len(person.latencies)
    await until(
        lambda: len(person.latencies) >= seen + messages, 20, f"{person.name} gets {messages} messages"
    )


def _stop_reading(people: list[Person]) -> None:
    for person in people:
        assert person.connection is not None
        person.connection.stop_reading()


def _go_on_reading(people: list[Person]) -> None:
    for person in people:
        if person.connection is not None:
            person.connection.go_on_reading()


def _resident_bytes(gateway: Gateway) -> int:
    return sum(int(psutil.Process(pid).memory_info().rss) for pid in gateway.worker_pids())


async def _snapshots(gateway: Gateway) -> int:
    """How many histories the gateway's one worker has read for joins and repairs."""
    return await _metric(gateway, "gateway_snapshots_total")


async def _is_somebody_behind(gateway: Gateway) -> bool:
    """Whether the worker has given up for now to write to a member that does not read."""
    return await _metric(gateway, "gateway_behind_members") > 0


async def _metric(gateway: Gateway, name: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(f"{gateway.url}/metrics") as response:
        lines = (await response.text()).splitlines()
    return sum(int(float(line.split()[-1])) for line in lines if line.startswith(name))
