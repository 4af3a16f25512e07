"""How long scripts keep a server from everybody else.

Two clocks: the server's own statistics count the time that passes, in which another process may have had the core;
the scheduler counts what the server used. Where the second is far below the first, others were in the way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import redis.asyncio as redis

CALLS = 30


async def fill(client: redis.Redis, key: bytes, fields: dict[str, str]) -> None:
    """A hash of many fields."""
    pairs = list(fields.items())
    for at in range(0, len(pairs), 5_000):
        await client.hset(key, mapping=dict(pairs[at : at + 5_000]))


async def shortest_us(client: redis.Redis, attempt: Callable[[], Awaitable[object]], what: str = "") -> int:
    """How long its longest script takes, in the calmest of some calls: others use this machine, too. Prints that, the
    worst call, and the CPU of a call, in which is all that the server does for it."""
    pid = (await client.info("server"))["process_id"]
    await attempt()  # so that the script is known there
    found: list[int] = []
    before_us = _cpu_us(pid)
    for _ in range(CALLS):
        await client.config_resetstat()
        await attempt()
        stats = (await client.info("commandstats"))["cmdstat_evalsha"]
        found.append(round(stats["usec"] / stats["calls"]))
    cpu_us = (_cpu_us(pid) - before_us) / CALLS
    print(
        f"{what}: calmest {min(found)} µs, worst {max(found)} µs, CPU of a call with its statistics {cpu_us:.0f} µs"
    )
    return min(found)


def _cpu_us(pid: int) -> float:
    """What the main thread of a process has used."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1000
