"""One room of 20,000 members over eight workers: everybody gets everything, in order, and soon."""

from __future__ import annotations

import uuid
from pathlib import Path

import psutil
import pytest

from loadtest.stadium.event import Outcome, Plan, held
from tests.support.gateways import Gateway
from tests.support.servers import Valkey

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(600)]

WORKERS = 8
P99_MS = 500.0
RULE = '[[room]]\nmatch = "**"\njoin = "anyone"\nnotices = false\nhistory = 20\n'
GATHERED, COUNTED = "gather_ms = 250\n", 'members = "count"\n'
WITHOUT = {"GATEWAY_ADDRESS_HANDSHAKES_PER_S": "0"}
"""All members come from one address."""


def cpu_s(gateway: Gateway) -> float:
    """What the workers have used."""
    times = [psutil.Process(pid).cpu_times() for pid in gateway.worker_pids()]
    return float(sum(each.user + each.system for each in times))


async def filled(
    server: Valkey, folder: Path, rule: str, rate: float, seconds: float, members: int
) -> Outcome:
    """What came of a room of that rule; what it took is printed."""
    file = folder / "gateway.toml"
    file.write_text(RULE + rule)
    environment = {**WITHOUT, "GATEWAY_CONFIG": str(file)}
    async with Gateway(server.url, workers=WORKERS, environment=environment) as gateway:
        plan = Plan(("127.0.0.1", gateway.port), uuid.uuid4().hex, members, rate=rate, seconds=seconds)
        async with held(plan) as event:
            await event.join()
            before_s = cpu_s(gateway)
            outcome = await event.talk()
            used_s = cpu_s(gateway) - before_s
    deliveries = outcome.members * outcome.messages
    us, cores = used_s * 1e6 / deliveries, used_s / outcome.talked_s
    print(
        f"\n{rule.replace(chr(10), ', ')}{outcome}; workers {cores:.2f} cores, {us:.2f} µs a delivery: "
        f"{us * members * 20 / 1e6:.1f} cores for 20 msg/s to {members:,}"
    )
    return outcome


def assert_whole(outcome: Outcome) -> None:
    """Everybody got everything, once and in order."""
    assert not outcome.faults
    assert outcome.whole == outcome.members


@pytest.mark.parametrize("rule", [GATHERED, GATHERED + COUNTED], ids=["named", "counted"])
async def test_a_room_that_gathers_takes_twenty_messages_a_second(
    rule: str, server: Valkey, tmp_path: Path
) -> None:
    outcome = await filled(server, tmp_path, rule, rate=20.0, seconds=20.0, members=20_000)
    assert_whole(outcome)
    assert outcome.latency_ms(0.99) <= P99_MS


@pytest.mark.parametrize("rule", ["", COUNTED], ids=["named", "counted"])
async def test_without_windows_everybody_gets_everything_at_the_rate_that_two_cores_can_write(
    rule: str, server: Valkey, tmp_path: Path
) -> None:
    outcome = await filled(server, tmp_path, rule, rate=2.0, seconds=20.0, members=20_000)
    assert_whole(outcome)
    assert outcome.latency_ms(0.99) <= P99_MS
