"""One Valkey dies and comes back, stands still, drops its subscribers, or disappears in a black hole."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from functools import partial

import pytest

from tests.support.gateways import Gateway
from tests.support.hung_fsync import hung_fsync
from tests.support.servers import Valkey
from tests.support.topologies import standalone
from tests.support.waiting import in_time, stays, tried_again, until
from tests.system.faults.kept import Audit
from tests.system.faults.proxy import Proxy
from tests.system.faults.repeated import repeated
from tests.system.faults.scene import Scene, Stage
from tests.system.faults.traffic import Shape

pytestmark = [pytest.mark.faults, pytest.mark.system]

UNREACHABLE_AND_READY_AT_MOST_S = 6.0
DOWN_S = 1.0
FROZEN_S = 5.0
HOLE_S = 10.0
READY_POLL_S = 0.1
POSTPONES_WITHIN_S = 5.0
"""Valkey starts a sync once a second, and writes no more while one is under way."""
POSTPONES_FOR_S = 1.5
"""After two seconds it writes all the same."""
MESSAGES_HELD_BACK = 20


async def _kill_and_start(
    scene: Scene[Valkey], audit: Audit | None = None, cut_to: int | None = None
) -> None:
    scene.store.kill()
    if cut_to is not None:
        scene.store.cut_append_only(cut_to)
    await stays(lambda: scene.traffic.is_running, for_s=DOWN_S)
    if audit is not None:
        await audit.compare()
    await scene.store.start()


@repeated(quick=1, long=10)
async def test_valkey_killed_and_started_again_loses_nothing_that_it_syncs_always(stage: Stage) -> None:
    async with stage.scene(standalone("always")) as scene:
        audit = Audit(scene)
        for _ in range(stage.times):
            await scene.traffic.flow()
            await _kill_and_start(scene, audit)
            await scene.resume()
        report = await scene.judge()
        audit.judge(report)
        assert (audit.lost, report.lost, report.epochs) == (0, 0, 1)


@repeated(quick=None, long=10)
async def test_valkey_killed_that_syncs_every_second_tells_of_all_that_it_lost(stage: Stage) -> None:
    """Nothing, as a rule. A disk that was busy at that moment loses some: so it is compared with the file."""
    async with stage.scene(standalone("everysec")) as scene:
        audit = Audit(scene)
        for _ in range(stage.times):
            await scene.traffic.flow()
            await _kill_and_start(scene, audit)
            await scene.resume()
        audit.judge(await scene.judge())
        scene.worst("lost_in_file", audit.lost)


@repeated(quick=1, long=10)
@tried_again()
async def test_valkey_killed_while_its_disk_hangs_tells_of_all_that_it_lost(stage: Stage) -> None:
    async with stage.scene(standalone("everysec")) as scene:
        audit = Audit(scene)
        for _ in range(stage.times):
            await scene.traffic.flow()
            with hung_fsync(scene.store.pid):
                await until(partial(_holds_back, scene.store), POSTPONES_WITHIN_S, "it writes no more")
                begun_at = time.monotonic()
                await scene.traffic.until_acknowledged(MESSAGES_HELD_BACK)
                os.kill(scene.store.pid, signal.SIGKILL)
                in_time(begun_at, POSTPONES_FOR_S)
            await _kill_and_start(scene, audit)
            await scene.resume()
        report = await scene.judge()
        audit.judge(report)
        assert audit.lost >= MESSAGES_HELD_BACK * stage.times
        assert report.gaps > 0


@pytest.mark.long  # it waits until a disk was busy for two seconds
async def test_a_disk_that_hangs_for_longer_is_counted_and_gateway_check_warns() -> None:
    async with standalone("everysec") as server:

        async def is_counted() -> bool:
            await server.ask("INCR", "busy")
            return bool((await server.ask("INFO", "persistence"))["aof_delayed_fsync"])

        with hung_fsync(server.pid):
            await until(is_counted, 10, "aof_delayed_fsync grows")
        command = [sys.executable, "-m", "gateway", "check", "--redis", server.url]
        told = (
            await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
        ).stdout
        assert "waited too long for its disk" in told


async def _holds_back(server: Valkey) -> bool:
    """Whether it has acknowledged what it has not written, as it waits for the disk."""
    state = await server.ask("INFO", "persistence")
    return bool(state["aof_pending_bio_fsync"] and state["aof_buffer_length"])


@repeated(quick=None, long=10)
async def test_valkey_that_lost_its_last_second_tells_every_member_of_the_gap(stage: Stage) -> None:
    async with stage.scene(standalone("everysec")) as scene:
        audit = Audit(scene)
        for _ in range(stage.times):
            await scene.traffic.flow()
            kept_bytes = scene.store.append_only_bytes()
            await stays(lambda: scene.traffic.is_running, for_s=0.3 + 0.7 * scene.traffic.random.random())
            await _kill_and_start(scene, audit, kept_bytes)
            await scene.resume()
        report = await scene.judge()
        audit.judge(report)
        assert report.gaps > 0


@repeated(quick=1, long=10)
async def test_valkey_that_lost_everything_tells_every_member_of_the_gap(stage: Stage) -> None:
    async with stage.scene(standalone("none")) as scene:
        for _ in range(stage.times):
            await scene.traffic.flow()
            await _kill_and_start(scene)
            await scene.resume()
        report = await scene.judge()
        assert report.gaps >= len(scene.traffic.people) * stage.times
        assert report.epochs == stage.times + 1


@repeated(quick=None, long=5)
async def test_valkey_that_stands_still_for_five_seconds_loses_nothing(stage: Stage) -> None:
    async with stage.scene(standalone()) as scene:
        for _ in range(stage.times):
            await scene.traffic.flow()
            scene.store.freeze()
            try:
                await stays(lambda: scene.traffic.is_running, for_s=FROZEN_S)
            finally:
                scene.store.thaw()
            await scene.resume()
        report = await scene.judge()
        assert (report.lost, report.gaps, report.epochs) == (0, 0, 1)


@repeated(quick=2, long=20)
async def test_subscriptions_killed_by_valkey_lose_nothing(stage: Stage) -> None:
    async with stage.scene(standalone()) as scene:
        for _ in range(stage.times):
            await scene.traffic.flow(rounds=1)
            assert await scene.store.ask("CLIENT", "KILL", "TYPE", "pubsub") >= 4
            await scene.resume()
        report = await scene.judge()
        assert (report.lost, report.gaps, report.epochs) == (0, 0, 1)


@repeated(quick=None, long=3)
async def test_a_black_hole_between_one_worker_and_valkey_loses_nothing(stage: Stage) -> None:
    async with (
        standalone() as valkey,
        Proxy(valkey.port) as proxy,
        Gateway(f"redis://127.0.0.1:{proxy.port}/0", workers=1) as behind,
        stage.scene(nullcontext(valkey), Shape(talkers=2), workers=3, other_gateways=[behind]) as scene,
    ):
        for _ in range(stage.times):
            await scene.traffic.flow()
            async with _readiness(behind) as ready_at:
                begun_at = time.monotonic()
                proxy.swallow()
                await stays(lambda: scene.traffic.is_running, for_s=HOLE_S)
                proxy.forward()
                scene.worst("unreachable_and_ready_s", max((at - begun_at for at in ready_at), default=0.0))
                ended_at = time.monotonic()
                await scene.resume()
                await until(behind.is_ready, 10, "the worker is ready again")
                scene.worst("ready_again_s", time.monotonic() - ended_at)
        report = await scene.judge(resumed_within_s=None)
        assert (report.lost, report.epochs) == (0, 1)
        assert scene.figures["unreachable_and_ready_s"] <= UNREACHABLE_AND_READY_AT_MOST_S


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
