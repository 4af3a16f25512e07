"""Workers die, stand still, are replaced; the master dies."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter

import psutil
import pytest

from tests.support.clients import Member
from tests.support.gateways import Gateway
from tests.support.topologies import standalone
from tests.support.waiting import stays, until
from tests.system.faults.repeated import repeated
from tests.system.faults.scene import Stage
from tests.system.faults.traffic import Shape, Traffic

pytestmark = [pytest.mark.faults, pytest.mark.system]

FROZEN_S = 10.0
ORPHANS_END_WITHIN_S = 40.0
REPLACED_WITHIN_S = 40.0
CLEANED_UP_WITHIN_S = 30.0


def assert_nobody_was_announced_as_left(traffic: Traffic) -> None:
    """No notice says that somebody left, and nobody was announced to the same person twice."""
    assert not [notice for notice in traffic.notices if "has left" in notice]
    for person in traffic.people:
        told = Counter(text for _, text in person.notices)
        twice = [text for text, count in told.items() if count > 1]
        assert not twice, f"{person.name} was told twice: {twice}"


@repeated(quick=2, long=12)
async def test_kill_9_of_workers_loses_nothing(stage: Stage) -> None:
    async with stage.scene(standalone()) as scene:
        for _ in range(stage.times):
            os.kill(scene.traffic.random.choice(scene.gateway.worker_pids()), signal.SIGKILL)
            await scene.traffic.flow()
            await until(lambda: len(scene.gateway.worker_pids()) == 4, 20, "the worker is replaced")
        report = await scene.judge()
        assert report.gaps == 0
        assert_nobody_was_announced_as_left(scene.traffic)


@repeated(quick=None, long=3)
async def test_kill_9_of_the_master_and_a_new_start_lose_nothing(stage: Stage) -> None:
    async with stage.scene(standalone()) as scene:
        for _ in range(stage.times):
            workers = scene.gateway.worker_pids()
            os.kill(scene.gateway.master_pid, signal.SIGKILL)
            await until(lambda: not scene.gateway.is_running(), 5, "the master is dead")
            await _until_gone(workers, ORPHANS_END_WITHIN_S)
            await scene.gateway.start()
            await scene.traffic.flow(limit_s=40)
        await scene.judge()


@repeated(quick=None, long=3)
async def test_a_worker_that_stands_still_for_ten_seconds_loses_nothing(stage: Stage) -> None:
    async with stage.scene(standalone(), Shape(talkers=2)) as scene:
        traffic = scene.traffic
        for pid in scene.gateway.worker_pids()[: stage.times]:
            frozen_at = time.monotonic()
            await _stand_still(pid, traffic, FROZEN_S)
            await traffic.flow()
            others_s = traffic.latency_s(traffic.people, frozen_at, frozen_at + FROZEN_S - 0.5)
            scene.worst("others_p99_s", others_s)
        await scene.judge()
        assert_nobody_was_announced_as_left(traffic)


@repeated(quick=None, long=2)
async def test_people_of_a_worker_taken_for_dead_are_listed_again(stage: Stage) -> None:
    options = {"GATEWAY_WORKER_DEAD_S": "3", "GATEWAY_HEARTBEAT_S": "0.5"}
    async with stage.scene(standalone(), environment=options) as scene:
        traffic = scene.traffic
        for pid in scene.gateway.worker_pids()[: stage.times]:
            await _stand_still(pid, traffic, for_s=5)
            await traffic.flow()
        everybody = {person.name for person in traffic.people}
        async with await Member.connect(scene.gateway.url) as visitor:

            async def is_everybody_listed() -> bool:
                listed = set[str]()
                for room in traffic.rooms:
                    await visitor.join("visitor", room)
                    listed |= set((await visitor.call("members", {"room": room}))["members"])
                return everybody <= listed

            await until(is_everybody_listed, CLEANED_UP_WITHIN_S, "everybody is a member again")
        await scene.judge()


@repeated(quick=1, long=5)
async def test_a_rolling_restart_by_hup_loses_nothing_and_announces_nobody(stage: Stage) -> None:
    async with stage.scene(standalone(), environment={"GATEWAY_DRAIN_S": "3"}) as scene:
        for _ in range(stage.times):
            old = scene.gateway.worker_pids()
            os.kill(scene.gateway.master_pid, signal.SIGHUP)
            await _until_gone(old, REPLACED_WITHIN_S)
            await until(lambda: len(scene.gateway.worker_pids()) == 4, 20, "four new workers")
            await scene.traffic.flow()
        report = await scene.judge()
        assert report.gaps == 0
        assert_nobody_was_announced_as_left(scene.traffic)


@repeated(quick=None, long=1)
async def test_people_of_a_dead_worker_who_stay_away_leave_once(stage: Stage) -> None:
    async with stage.scene(standalone()) as scene:
        traffic = scene.traffic
        worker, _ = traffic.workers().most_common(1)[0]
        gone = traffic.at_worker(worker)
        traffic.retire(gone)
        os.kill(_pid_of(scene.gateway, worker), signal.SIGKILL)
        expected = {(person.room, f"{person.name} has left the room") for person in gone}
        expected = {each for each in expected if any(person.room == each[0] for person in traffic.people)}

        def are_announced() -> bool:
            return expected <= {
                (person.room, text) for person in traffic.people for _, text in person.notices
            }

        killed_at = time.monotonic()
        await until(are_announced, CLEANED_UP_WITHIN_S, "everybody gone is announced")
        scene.worst("announced_s", time.monotonic() - killed_at)
        await stays(lambda: traffic.is_running, for_s=5)
        await scene.judge()
        for person in traffic.people:
            told = Counter(text for _, text in person.notices if "has left" in text)
            assert {(person.room, text) for text in told} <= expected
            assert max(told.values(), default=1) == 1


async def _stand_still(pid: int, traffic: Traffic, for_s: float) -> None:
    os.kill(pid, signal.SIGSTOP)
    try:
        await stays(lambda: traffic.is_running, for_s)
    finally:
        os.kill(pid, signal.SIGCONT)


async def _until_gone(pids: list[int], limit_s: float) -> None:
    await until(
        lambda: all(_status(pid) == psutil.STATUS_ZOMBIE for pid in pids), limit_s, "these workers have ended"
    )


def _status(pid: int) -> str:
    try:
        return str(psutil.Process(pid).status())
    except psutil.NoSuchProcess:
        return str(psutil.STATUS_ZOMBIE)


def _pid_of(gateway: Gateway, worker: str) -> int:
    """The process of the worker with that id: it is the one that listens on a Unix socket of that name."""
    for pid in gateway.worker_pids():
        if any(worker in str(each.laddr) for each in psutil.Process(pid).net_connections("unix")):
            return pid
    raise AssertionError(f"no process belongs to worker {worker}")
