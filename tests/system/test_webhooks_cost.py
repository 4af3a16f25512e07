"""What webhooks cost those who publish: a twentieth at most, also where no two messages go to the same room.

Two gateways of one worker each, one of them with a webhook, under the same load at the same time. Who posts is
elsewhere: its leases are held, so that only the marks are measured.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway import keys
from gateway.state.hook_queue import PARTS
from loadtest.bench.contests import Load
from loadtest.bench.generator import Generator
from tests.support.gateways import LIMITED, Gateway
from tests.support.servers import Valkey
from tests.support.webhook_receiver import hooks_file

pytestmark = [pytest.mark.system, pytest.mark.long]

LOAD = Load(rooms=1000, members=1, messages=2000, rate=1000)
"""A room has a message a second: each leaves a mark."""

ROUNDS, WARM = 24, 4
HELD_FOR_MS = 4_000_000_000_000
"""Leases end then (ms since 1970), after all tests."""


class Side:
    """A gateway, its Valkey and its members."""

    def __init__(self, gateway: Gateway, server: Valkey, pids: list[int]) -> None:
        self.generator = Generator(LOAD, (gateway.port,), 1)
        self.server = server
        self._pids = pids

    def cpu_us(self) -> float:
        """Processor time of the worker and of its Valkey so far, by the scheduler: exact, not in steps of 10 ms."""
        tasks = (task for pid in self._pids for task in Path(f"/proc/{pid}/task").iterdir())
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1000


@asynccontextmanager
async def side(config: Path) -> AsyncIterator[Side]:
    """One that nobody else uses, all its members in their rooms."""
    server = Valkey()
    try:
        await server.start()
        for part in range(PARTS):
            await server.ask(
                "HSET", keys.hook_lease(part), "holder", "other", "fence", 1, "ends", HELD_FOR_MS
            )
        async with Gateway(server.url, 1, environment=LIMITED, GATEWAY_CONFIG=str(config)) as gateway:
            info = await server.ask("INFO", "server")
            process_id = int(str(info["process_id"] if isinstance(info, dict) else info))
            found = Side(gateway, server, [*gateway.worker_pids(), process_id])
            await found.generator.connect()
            yield found
            found.generator.close()
    finally:
        server.close()


async def test_a_publish_with_webhooks_costs_a_twentieth_more_at_most(tmp_path: Path) -> None:
    plain, hooked = tmp_path / "plain", tmp_path / "hooked"
    plain.mkdir()
    hooked.mkdir()
    told = hooks_file(hooked, {"url": "http://127.0.0.1:9/", "events": ["message"]})
    async with side(hooks_file(plain)) as without, side(told) as with_them:
        await asyncio.sleep(3)
        ratios = []
        for turn in range(ROUNDS):
            before = without.cpu_us(), with_them.cpu_us()
            both = (without, with_them) if turn % 2 else (with_them, without)
            seen = await asyncio.gather(*(each.generator.send() for each in both))
            assert all(each.deliveries == LOAD.deliveries for each in seen)
            used = without.cpu_us() - before[0], with_them.cpu_us() - before[1]
            ratios.append(used[1] / used[0])
            print(f"{used[0] / LOAD.messages:.1f} µs a publish, {used[1] / LOAD.messages:.1f} with webhooks")
        marked = [await with_them.server.ask("SCARD", keys.hook_marks(part)) for part in range(PARTS)]
        assert sum(marked) == LOAD.rooms
    kept = sorted(ratios[WARM:])
    print(f"{statistics.median(kept):.3f} times ({kept[0]:.3f}-{kept[-1]:.3f})")
    assert statistics.median(kept) <= 1.05
