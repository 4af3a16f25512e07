"""One kind against one gateway: first as many idle sockets, then hostile ones; then 1 MB from one connection."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median

from loadtest.bench.contenders import running
from loadtest.bench.contests import Lane, Load
from loadtest.hostile.bystander import Members, worst_wait_for_health
from loadtest.hostile.kinds import KINDS

SHARES = (0.01, 0.10)
ONE_MB = 1_000_000
LANE = Lane("gateway", "gateway", Load(1, 2, 1, 1), workers=1)
COMPRESSING = {kind.name for kind in KINDS if kind.compression}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one kind did. For each share of hostile sockets: p99 with as many idle ones, p99 with them, and the
    worst, ms; the worst wait for /healthz during 1 MB; how often a hostile socket was ended."""

    kind: str
    idle_p99_ms: tuple[float, ...]
    hostile_p99_ms: tuple[float, ...]
    hostile_worst_ms: tuple[float, ...]
    healthz_worst_ms: float
    ended: int

    def ratios(self) -> tuple[float, ...]:
        """How many times longer people wait than with idle sockets, by share."""
        return tuple(h / i for h, i in zip(self.hostile_p99_ms, self.idle_p99_ms, strict=True))


async def measure(kind: str, sockets: int, for_s: float, rounds: int) -> Outcome:
    """All figures of one kind, on a gateway of its own: of each the median of some rounds, as the machine has others
    to serve, too."""
    os.environ["GATEWAY_COMPRESSION"] = "on" if kind in COMPRESSING else "off"
    with running(LANE) as gateway:
        port = gateway.ports[0]
        idle, hostile, ended = [], [], 0
        for share in SHARES:
            number = max(1, round(sockets * share))
            members = Members(port, sockets - number)
            await members.join()
            await members.talk(1.0)  # so that both find it warm
            calm, attacked = [], []
            for _ in range(rounds):
                async with _attack(port, "idle", number, 0):
                    calm.append(await members.talk(for_s))
                async with _attack(port, kind, number, 0) as result:
                    attacked.append(await members.talk(for_s))
                ended += int(result["ended"])
            idle.append(_medians(calm))
            hostile.append(_medians(attacked))
            members.close()
            await asyncio.sleep(0.5)
        async with _attack(port, kind, 1, ONE_MB):
            health = await worst_wait_for_health(port, for_s)
    p99s, worsts = zip(*hostile, strict=True)
    return Outcome(kind, tuple(p99 for p99, _ in idle), p99s, worsts, health, ended)


def _medians(figures: list[tuple[float, float]]) -> tuple[float, float]:
    p99s, worsts = zip(*figures, strict=True)
    return median(p99s), median(worsts)


@asynccontextmanager
async def _attack(port: int, kind: str, sockets: int, most_bytes: int) -> AsyncIterator[dict[str, int]]:
    """Hostile sockets in a process of their own; what they did stands in the result afterwards."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "loadtest.hostile.attacker", str(port), kind, str(sockets), str(most_bytes),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    result: dict[str, int] = {"ended": 0}
    try:
        async with asyncio.timeout(30):
            await process.stdout.readline()
        if kind != "idle":
            process.stdin.write(b"go\n")
        yield result
        process.stdin.close()
        async with asyncio.timeout(30):
            result |= json.loads(await process.stdout.readline())
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
