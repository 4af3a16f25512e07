"""Clients lose their connections, stop reading, or come back all at once."""

from __future__ import annotations

import time

import psutil
import pytest

from tests.system.faults.conftest import Record
from tests.system.faults.people import Person
from tests.system.faults.repeated import repeated
from tests.system.faults.topologies import standalone
from tests.system.faults.traffic import Traffic
from tests.system.gateways import Gateway
from tests.waiting import stays, until

pytestmark = [pytest.mark.faults, pytest.mark.system]

CROWD_ROOMS, CROWD_PEOPLE = 100, 20
BYTES_PER_STALLED = 2 * 1_048_576
"""What a member that does not read may cost a worker: the outbound buffer's limit, and as much around it."""
SLACK_BYTES = 24 * 1_048_576


@repeated(quick=5, long=100)
async def test_members_cut_and_back_with_since_miss_nothing(seed: int, times: int, record: Record) -> None:
    async with (
        standalone() as valkey,
        Gateway(valkey.url) as gateway,
        Traffic([gateway.url], seed) as traffic,
    ):
        for _ in range(times):
            for person in traffic.some(0.2):
                person.cut()
            await traffic.flow(rounds=1)
        report = await traffic.verdict()
        record(report, traffic, times)
        traffic.assert_clean(report)
        assert report.gaps == 0
        assert not [notice for notice in traffic.notices if "has left" in notice]


@repeated(quick=None, long=3)
async def test_a_storm_of_two_thousand_members_loses_nothing_and_leaves_others_alone(
    seed: int, times: int, record: Record
) -> None:
    async with standalone() as valkey, Gateway(valkey.url) as gateway:
        async with (
            Traffic([gateway.url], seed) as steady,
            Traffic([gateway.url], seed, CROWD_ROOMS, CROWD_PEOPLE, talkers=1, pace_s=2.0) as crowd,
        ):
            back_s = 0.0
            for _ in range(times):
                calm_from = time.monotonic()
                await steady.flow(rounds=10)
                calm_s = steady.latency_s(steady.people, calm_from, time.monotonic())
                cut_at = time.monotonic()
                for person in crowd.people:
                    person.cut()
                await until(crowd.everybody_is_in, 60, "all 2,000 are back")
                back_s = max(back_s, time.monotonic() - cut_at)
                storm_s = steady.latency_s(steady.people, cut_at, time.monotonic())
            report = await crowd.verdict(limit_s=60)
            record(report, crowd, times, back_s=back_s)
            others = await steady.verdict()
            record(others, steady, times, calm_p99_s=calm_s, storm_p99_s=storm_s)
            crowd.assert_clean(report)
            steady.assert_clean(others)
            assert sum(person.connections for person in steady.people) == len(steady.people) + steady.cuts


@repeated(quick=None, long=2)
async def test_members_that_stop_reading_cost_the_others_nothing(
    seed: int, times: int, record: Record
) -> None:
    async with standalone() as valkey, Gateway(valkey.url, GATEWAY_STUCK_S="6") as gateway:
        async with (
            Traffic([gateway.url], seed) as steady,
            Traffic([gateway.url], seed, 2, 20, talkers=8, pace_s=0.13, padding=4000) as loud,
        ):
            calm_from = time.monotonic()
            await steady.flow(rounds=10)
            calm_s = steady.latency_s(steady.people, calm_from, time.monotonic())
            for number in range(times):
                stalled = [*steady.some(0.05), *loud.some(0.05)]
                before = _resident_bytes(gateway)
                stalled_at = time.monotonic()
                _stop_reading(stalled)
                await stays(lambda: steady.is_running and loud.is_running, for_s=10 if number % 2 else 25)
                others = [person for person in steady.people if person not in stalled]
                stall_s = steady.latency_s(others, stalled_at, time.monotonic())
                grown = _resident_bytes(gateway) - before
                _go_on_reading(stalled)
                await steady.flow()
                await loud.flow(limit_s=60)
            quiet, report = await steady.verdict(), await loud.verdict(limit_s=60)
            record(quiet, steady, times, calm_p99_s=calm_s, stall_p99_s=stall_s)
            record(report, loud, times, grown_mib=grown / 1_048_576)
            steady.assert_clean(quiet)
            loud.assert_clean(report)
            assert stall_s < max(0.25, 3 * calm_s)
            assert grown < len(stalled) * BYTES_PER_STALLED + SLACK_BYTES


def _stop_reading(people: list[Person]) -> None:
    for person in people:
        assert person.line is not None
        person.line.stop_reading()


def _go_on_reading(people: list[Person]) -> None:
    for person in people:
        if person.line is not None:
            person.line.go_on_reading()


def _resident_bytes(gateway: Gateway) -> int:
    return sum(int(psutil.Process(pid).memory_info().rss) for pid in gateway.worker_pids())
