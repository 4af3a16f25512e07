"""Rooms that gather what they write, and rooms whose members are only counted, among others, while things break. In
each room one member polls."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.support.clients import Transport
from tests.support.topologies import sentinels, standalone
from tests.support.waiting import until
from tests.system.faults.people import Person
from tests.system.faults.repeated import repeated
from tests.system.faults.scene import Stage
from tests.system.faults.traffic import Shape

pytestmark = [pytest.mark.faults, pytest.mark.system]

RULES = """
[[room]]
match = "gathers:*"
join = "anyone"
gather_ms = 150

[[room]]
match = "counted:*"
join = "anyone"
members = "count"
gather_ms = 40

[[room]]
match = "**"
join = "anyone"
"""
AMONG_OTHERS = Shape(prefixes=("gathers:", "counted:", "", "gathers:"))
MANY = Shape(rooms=160, people=2, talkers=2, pace_s=4.0, prefixes=AMONG_OTHERS.prefixes)
"""More rooms on each of two workers than are read at once when channels are back."""
RESUME_LIMIT_S = SETTLE_LIMIT_S = 30.0


class Mixed(Person):
    """The second member of each room polls; the others have a WebSocket."""

    def transport(self) -> Transport:
        return "polling" if self.name.endswith("p1") else "websocket"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """With the rules."""
    file = tmp_path / "gateway.toml"
    file.write_text(RULES)
    return {"GATEWAY_CONFIG": str(file)}


@repeated(quick=None, long=6)
async def test_kill_9_of_workers_loses_nothing(stage: Stage, environment: dict[str, str]) -> None:
    async with stage.scene(standalone(), AMONG_OTHERS, environment=environment, person_kind=Mixed) as scene:
        for _ in range(stage.times):
            os.kill(scene.traffic.random.choice(scene.gateway.worker_pids()), signal.SIGKILL)
            await scene.traffic.flow()
            await until(lambda: len(scene.gateway.worker_pids()) == 4, 20, "the worker is replaced")
        report = await scene.judge()
        assert report.gaps == 0


@repeated(quick=None, long=2)
async def test_sentinel_failover_loses_nothing_in_silence(stage: Stage, environment: dict[str, str]) -> None:
    async with stage.scene(
        sentinels(replicas=2), AMONG_OTHERS, environment=environment, person_kind=Mixed
    ) as scene:
        for _ in range(stage.times):
            await scene.traffic.flow()
            old = await scene.store.primary()
            old.kill()
            await scene.store.until_switched(old)
            await scene.resume(RESUME_LIMIT_S)
        await scene.judge(SETTLE_LIMIT_S)


@repeated(quick=None, long=5)
async def test_channels_that_break_in_many_rooms_lose_nothing(
    stage: Stage, environment: dict[str, str]
) -> None:
    async with stage.scene(
        standalone(), MANY, workers=2, environment=environment, person_kind=Mixed
    ) as scene:
        for _ in range(stage.times):
            await scene.store.ask("CLIENT", "KILL", "TYPE", "pubsub")
            await scene.traffic.flow(rounds=1)
        report = await scene.judge()
        assert report.gaps == 0
