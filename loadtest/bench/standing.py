"""A contender that runs for a whole contest, with all that is needed to load it and to read what it costs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from loadtest.bench.contenders import running
from loadtest.bench.contests import Lane, Load
from loadtest.bench.generator import BATCH, Generator
from loadtest.bench.probes import Store, Trees

CALM_US = 10_000.0
"""Less CPU than that in `CALM_FOR_S` is calm."""
CALM_FOR_S = 0.25
CALM_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU so far, µs: of the servers, and of their Valkey."""

    servers_us: float
    valkey_us: float

    def since(self, before: Cost) -> Cost:
        return Cost(self.servers_us - before.servers_us, self.valkey_us - before.valkey_us)


@dataclass(slots=True)
class Standing:
    """One lane whose servers run; `held` are the generators whose connections stay."""

    lane: Lane
    ports: tuple[int, ...]
    servers: Trees
    store: Store
    valkey: Trees
    valkey_port: int
    held: list[Generator] = field(default_factory=list)

    def cost(self) -> Cost:
        return Cost(self.servers.cpu_us(), self.valkey.cpu_us())

    async def connected(self, load: Load, tag: str = "", batch: int = BATCH) -> Generator:
        """A generator whose members have all joined."""
        generator = Generator(load, self.ports, self.lane.workers, tag=tag, batch=batch)
        self.held.append(generator)
        await generator.connect()
        return generator

    async def filled(self, load: Load, tag: str) -> None:
        """Says the load's messages in its rooms, by one member each, who stays."""
        speaker = await self.connected(replace(load, members=1), tag)
        await speaker.send()
        await self.calm()

    async def calm(self, within_s: float = CALM_WITHIN_S) -> None:
        """Waits until the servers hardly use CPU and nothing is asked of Valkey, twice running; not for ever."""
        before, calm = (self.servers.cpu_us(), self.store.counters()), 0
        for _ in range(int(within_s / CALM_FOR_S)):
            await asyncio.sleep(CALM_FOR_S)
            now = self.servers.cpu_us(), self.store.counters()
            is_calm = now[0] - before[0] <= CALM_US and not now[1].since(before[1])
            calm, before = (calm + 1 if is_calm else 0), now
            if calm == 2:
                return

    def let_go(self) -> None:
        """Cuts all connections."""
        for generator in self.held:
            generator.close()
        self.held.clear()


@contextmanager
def standing(lane: Lane) -> Iterator[Standing]:
    """Starts the lane's servers; they are killed at the end."""
    with running(lane) as contender:
        store = Store(contender.valkey_port)
        found = Standing(
            lane, contender.ports, Trees(contender.pids), store, Trees([store.pid]), contender.valkey_port
        )
        try:
            yield found
        finally:
            store.close()
