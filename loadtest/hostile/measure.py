"""One kind against one gateway: first as many idle sockets, then hostile ones; then 1 MB from one connection."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from loadtest.bench.contenders import running
from loadtest.bench.contests import Lane, Load
from loadtest.hostile.bystander import Members, worst_wait_for_health
from loadtest.hostile.kinds import KINDS

SHARES = (0.01, 0.10)
ONE_MB = 1_000_000
IDLE = "idle"
"""The kind that sends nothing; measured as if it were hostile, it says how far the table can be trusted."""
LANE = Lane("gateway", "gateway", Load(1, 2, 1, 1), workers=1)
COMPRESSING = {kind.name for kind in KINDS if kind.compression}


@dataclass(frozen=True, slots=True)
class Share:
    """What one share of hostile sockets did, by round: p99 beside as many idle sockets just before, p99 beside the
    hostile ones, and the worst, ms."""

    idle_p99_ms: tuple[float, ...]
    hostile_p99_ms: tuple[float, ...]
    hostile_worst_ms: tuple[float, ...]

    def ratios(self) -> list[float]:
        """How many times longer people wait than just before, beside idle sockets; by round, least first."""
        return sorted(h / i for h, i in zip(self.hostile_p99_ms, self.idle_p99_ms, strict=True))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one kind did: by share; the worst wait for /healthz during 1 MB, ms, by round; how often a hostile socket
    was ended; how many bytes they sent in a second, the larger share."""

    kind: str
    shares: tuple[Share, ...]
    healthz_worst_ms: tuple[float, ...]
    ended: int
    sent_bytes_per_s: float


async def measure(kind: str, sockets: int, for_s: float, rounds: int) -> Outcome:
    """All figures of one kind, on a gateway of its own: idle and hostile in turn, as the machine has others to
    serve, too."""
    os.environ["GATEWAY_COMPRESSION"] = "on" if kind in COMPRESSING else "off"
    with running(LANE) as gateway:
        port = gateway.ports[0]
        done = {"ended": 0, "sent_bytes": 0}
        shares = [await _share(port, kind, share, sockets, for_s, rounds, done) for share in SHARES]
        health = []
        for _ in range(rounds):
            async with attack(port, kind, 1, ONE_MB):
                health.append(await worst_wait_for_health(port, for_s))
    return Outcome(kind, tuple(shares), tuple(health), done["ended"], done["sent_bytes"] / rounds / for_s)


async def _share(
    port: int, kind: str, share: float, sockets: int, for_s: float, rounds: int, done: dict[str, int]
) -> Share:
    """Idle and hostile in turn; adds to `done` what the hostile sockets did."""
    number = max(1, round(sockets * share))
    members = Members(port, sockets - number)
    await members.join()
    await members.talk(0.5)  # so that both find it warm
    idle, hostile = [], []
    for _ in range(rounds):
        async with attack(port, IDLE, number, 0):
            idle.append((await members.talk(for_s))[0])
        async with attack(port, kind, number, 0) as result:
            hostile.append(await members.talk(for_s))
        done["ended"] += result["ended"]
        done["sent_bytes"] = result["sent_bytes"] + (done["sent_bytes"] if share == SHARES[-1] else 0)
    members.close()
    await asyncio.sleep(0.5)
    p99s, worsts = zip(*hostile, strict=True)
    return Share(tuple(idle), p99s, worsts)


@asynccontextmanager
async def attack(port: int, kind: str, sockets: int, most_bytes: int) -> AsyncIterator[dict[str, int]]:
    """Hostile sockets in a process of their own; what they did stands in the result afterwards."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "loadtest.hostile.attacker", str(port), kind, str(sockets), str(most_bytes),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    result: dict[str, int] = {"ended": 0, "sent_bytes": 0}
    try:
        async with asyncio.timeout(30):
            await process.stdout.readline()
        if kind != IDLE:
            process.stdin.write(b"go\n")
        yield result
        process.stdin.close()
        async with asyncio.timeout(30):
            result |= json.loads(await process.stdout.readline())
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
