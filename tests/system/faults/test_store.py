"""One Valkey dies and comes back, stands still, drops its subscribers, or disappears in a black hole."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.gateways import Gateway
from tests.support.servers import Valkey
from tests.support.topologies import standalone
from tests.support.waiting import Stopwatch, stays, until
from tests.system.faults.conftest import Record
from tests.system.faults.proxy import Proxy
from tests.system.faults.repeated import repeated
from tests.system.faults.traffic import Traffic

pytestmark = [pytest.mark.faults, pytest.mark.system]

RESUMED_WITHIN_S = 2.0
DEAF_READY_AT_MOST_S = 6.0
DOWN_S = 1.0
FROZEN_S = 5.0
HOLE_S = 10.0
READY_POLL_S = 0.1


class Resumption:
    """Keeps how long delivery took to come back after each fault."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self.longest_s = 0.0

    async def from_now(self) -> None:
        """The store answers: waits until every room delivers something new, keeps how long it took.

        What this process was held up meanwhile, in which all the people live, is left out.
        """
        at = time.monotonic()
        async with Stopwatch() as watch:
            await self._traffic.flow(rounds=1)
        self.longest_s = max(self.longest_s, self._traffic.ledger.resumed_after_s(at) - watch.held_up_s)


async def _kill_and_start(valkey: Valkey, traffic: Traffic, cut_to: int | None = None) -> None:
    valkey.kill()
    if cut_to is not None:
        valkey.cut_append_only(cut_to)
    await stays(lambda: traffic.is_running, for_s=DOWN_S)
    await valkey.start()


@pytest.mark.parametrize("persistence", ["always", "everysec"])
@repeated(quick=1, long=10)
async def test_valkey_killed_and_started_again_loses_nothing_it_wrote(
    persistence: str, seed: int, times: int, record: Record
) -> None:
    async with (
        standalone(persistence) as valkey,
        Gateway(valkey.url) as gateway,
        Traffic([gateway.url], seed) as traffic,
    ):
        resumption = Resumption(traffic)
        for _ in range(times):
            await traffic.flow()
            await _kill_and_start(valkey, traffic)
            await resumption.from_now()
        report = await traffic.verdict()
        record(report, times, traffic.connections, resumed_s=resumption.longest_s)
        traffic.assert_clean(report)
        assert (report.lost, report.epochs) == (0, 1)
        assert resumption.longest_s <= RESUMED_WITHIN_S


@repeated(quick=1, long=10)
async def test_valkey_that_lost_its_last_second_tells_every_member_of_the_gap(
    seed: int, times: int, record: Record
) -> None:
    async with (
        standalone("everysec") as valkey,
        Gateway(valkey.url) as gateway,
        Traffic([gateway.url], seed) as traffic,
    ):
        resumption = Resumption(traffic)
        for _ in range(times):
            await traffic.flow()
            kept_bytes = valkey.append_only_bytes()
            await stays(lambda: traffic.is_running, for_s=0.3 + 0.7 * traffic.random.random())
            await _kill_and_start(valkey, traffic, kept_bytes)
            await resumption.from_now()
        report = await traffic.verdict()
        record(report, times, traffic.connections, resumed_s=resumption.longest_s)
        traffic.assert_clean(report)
        assert report.gaps > 0
        assert resumption.longest_s <= RESUMED_WITHIN_S


@repeated(quick=1, long=10)
async def test_valkey_that_lost_everything_tells_every_member_of_the_gap(
    seed: int, times: int, record: Record
) -> None:
    async with (
        standalone("none") as valkey,
        Gateway(valkey.url) as gateway,
        Traffic([gateway.url], seed) as traffic,
    ):
        resumption = Resumption(traffic)
        for _ in range(times):
            await traffic.flow()
            await _kill_and_start(valkey, traffic)
            await resumption.from_now()
        report = await traffic.verdict()
        record(report, times, traffic.connections, resumed_s=resumption.longest_s)
        traffic.assert_clean(report)
        assert report.gaps >= len(traffic.people) * times
        assert report.epochs == times + 1
        assert resumption.longest_s <= RESUMED_WITHIN_S


@repeated(quick=None, long=5)
async def test_valkey_that_stands_still_for_five_seconds_loses_nothing(
    seed: int, times: int, record: Record
) -> None:
    async with (
        standalone() as valkey,
        Gateway(valkey.url) as gateway,
        Traffic([gateway.url], seed) as traffic,
    ):
        resumption = Resumption(traffic)
        for _ in range(times):
            await traffic.flow()
            valkey.freeze()
            try:
                await stays(lambda: traffic.is_running, for_s=FROZEN_S)
            finally:
                valkey.thaw()
            await resumption.from_now()
        report = await traffic.verdict()
        record(report, times, traffic.connections, resumed_s=resumption.longest_s)
        traffic.assert_clean(report)
        assert (report.lost, report.gaps, report.epochs) == (0, 0, 1)
        assert resumption.longest_s <= RESUMED_WITHIN_S


@repeated(quick=2, long=20)
async def test_subscriptions_killed_by_valkey_lose_nothing(seed: int, times: int, record: Record) -> None:
    async with (
        standalone() as valkey,
        Gateway(valkey.url) as gateway,
        Traffic([gateway.url], seed) as traffic,
    ):
        resumption = Resumption(traffic)
        for _ in range(times):
            await traffic.flow(rounds=1)
            assert await valkey.ask("CLIENT", "KILL", "TYPE", "pubsub") >= 4
            await resumption.from_now()
        report = await traffic.verdict()
        record(report, times, traffic.connections, resumed_s=resumption.longest_s)
        traffic.assert_clean(report)
        assert (report.lost, report.gaps, report.epochs) == (0, 0, 1)
        assert resumption.longest_s <= RESUMED_WITHIN_S


@repeated(quick=None, long=3)
async def test_a_black_hole_between_one_worker_and_valkey_loses_nothing(
    seed: int, times: int, record: Record
) -> None:
    async with standalone() as valkey, Proxy(valkey.port) as proxy:
        async with (
            Gateway(valkey.url, workers=3) as whole,
            Gateway(f"redis://127.0.0.1:{proxy.port}/0", workers=1) as behind,
            Traffic([whole.url, whole.url, whole.url, behind.url], seed, talkers=2) as traffic,
        ):
            resumption, ready_s, back_s = Resumption(traffic), 0.0, 0.0
            for _ in range(times):
                await traffic.flow()
                async with _readiness(behind) as ready_at:
                    begun_at = time.monotonic()
                    proxy.swallow()
                    await stays(lambda: traffic.is_running, for_s=HOLE_S)
                    proxy.forward()
                    ready_s = max(ready_s, *(at - begun_at for at in ready_at), 0.0)
                    ended_at = time.monotonic()
                    await resumption.from_now()
                    await until(behind.is_ready, 10, "the worker is ready again")
                    back_s = max(back_s, time.monotonic() - ended_at)
            report = await traffic.verdict()
            record(report, times, traffic.connections,
                resumed_s=resumption.longest_s, deaf_and_ready_s=ready_s, ready_again_s=back_s,
            )  # fmt: skip
            traffic.assert_clean(report)
            assert (report.lost, report.epochs) == (0, 1)
            assert ready_s <= DEAF_READY_AT_MOST_S


@asynccontextmanager
async def _readiness(gateway: Gateway) -> AsyncIterator[list[float]]:
    """Asks /readyz again and again; the list gets the times at which it was 200."""
    ready_at: list[float] = []

    async def watch() -> None:
        while True:
            asked_at = time.monotonic()
            if await gateway.is_ready():
                ready_at.append(asked_at)
            await asyncio.sleep(READY_POLL_S)  # the rhythm of the watch

    watching = asyncio.create_task(watch())
    try:
        yield ready_at
    finally:
        watching.cancel()
        await asyncio.wait([watching])
