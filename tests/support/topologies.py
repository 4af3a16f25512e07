"""One Valkey, a Sentinel set, a Cluster: real servers on loopback, and the ways in which each can fail.

Owns the servers that it starts. Waits until a topology works before it hands it out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from redis.exceptions import RedisError

from tests.support.ports import Port
from tests.support.servers import PERSISTENCE, Valkey
from tests.support.waiting import until

SERVICE = "mymaster"
DOWN_AFTER_MS = 1000
NODE_TIMEOUT_MS = 2000
SLOTS = 16_384
FORM_LIMIT_S = 30.0
MIGRATE_TIMEOUT_MS = 5000


@asynccontextmanager
async def standalone(persistence: str = "always") -> AsyncIterator[Valkey]:
    """One server; `persistence` is always, everysec or none."""
    server = Valkey(*PERSISTENCE[persistence])
    try:
        await server.start()
        yield server
    finally:
        server.close()


@dataclass(frozen=True, slots=True)
class SentinelSet:
    """A primary, its replicas and the Sentinels that watch them."""

    servers: tuple[Valkey, ...]
    sentinels: tuple[Valkey, ...]

    @property
    def url(self) -> str:
        """`redis+sentinel://…/0/mymaster`."""
        return f"redis+sentinel://{_hosts(self.sentinels)}/0/{SERVICE}"

    async def primary(self) -> Valkey:
        """The server that the first Sentinel calls the primary."""
        _, port = await self.sentinels[0].ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return next(server for server in self.servers if server.port == int(port))

    async def until_switched(self, old: Valkey, limit_s: float = 30.0) -> Valkey:
        """Waits until the Sentinels name another primary and it says so itself; returns it."""

        async def is_switched() -> bool:
            new = await self.primary()
            return new is not old and await new.role() == "master"

        await until(is_switched, limit_s, "the Sentinels name another primary")
        return await self.primary()


@asynccontextmanager
async def sentinels(
    persistence: str = "always", replicas: int = 1, count: int = 3, options: tuple[str, ...] = ()
) -> AsyncIterator[SentinelSet]:
    """A primary with replicas in step, watched by Sentinels that take it for down after a second. `options` are
    given to each server."""
    given = (*PERSISTENCE[persistence], *_REPLICATION, *options)
    primary = Valkey(*given)
    followers = [Valkey(*given, "--replicaof", f"127.0.0.1 {primary.port}") for _ in range(replicas)]
    watchers = [Valkey(sentinel=_sentinel_configuration(primary.port)) for _ in range(count)]
    everything = [primary, *followers, *watchers]
    found = SentinelSet((primary, *followers), tuple(watchers))
    try:
        await asyncio.gather(*(server.start() for server in found.servers))
        await until(lambda: _are_in_step(found), FORM_LIMIT_S, "the replicas are in step")
        # only now: Sentinels look for replicas at once, and then rarely
        await asyncio.gather(*(server.start() for server in watchers))
        await until(lambda: _are_watching(found), FORM_LIMIT_S, "the Sentinels see everybody")
        yield found
    finally:
        for server in everything:
            server.close()


_REPLICATION = (
    "--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0",
    "--repl-ping-replica-period", "1", "--repl-timeout", "5",
)  # fmt: skip
"""As in production: replicas are brought into step without a file; a replica that is away is missed soon."""


def _sentinel_configuration(port: int) -> str:
    return (
        f"sentinel monitor {SERVICE} 127.0.0.1 {port} 2\n"
        f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}\n"
        f"sentinel failover-timeout {SERVICE} 5000\n"
    )


async def _are_watching(found: SentinelSet) -> bool:
    """Every Sentinel knows the others and the replicas."""
    for sentinel in found.sentinels:
        try:
            state = _pairs(await sentinel.ask("SENTINEL", "MASTER", SERVICE))
        except (RedisError, OSError):
            return False
        if int(state["num-other-sentinels"]) != len(found.sentinels) - 1:
            return False
        if int(state["num-slaves"]) != len(found.servers) - 1:
            return False
    return True


async def _are_in_step(found: SentinelSet) -> bool:
    replication = await found.servers[0].ask("INFO", "replication")
    return sum("online" in str(value) for value in _values(replication)) == len(found.servers) - 1


@dataclass(frozen=True, slots=True)
class Cluster:
    """Primaries, each with one replica. `nodes` holds them all, the first primaries first."""

    nodes: tuple[Valkey, ...]
    ids: dict[Valkey, str]

    @property
    def url(self) -> str:
        """`redis+cluster://host:port,host:port,…`."""
        return f"redis+cluster://{_hosts(self.nodes)}"

    async def owner(self, slot: int) -> Valkey:
        """The running primary that serves this slot; raises AssertionError when there is none."""
        for node in self.nodes:
            if not node.is_running or await node.role() != "master":
                continue
            for start, end, holder, *_ in await node.ask("CLUSTER", "SLOTS"):
                found = next(each for each in self.nodes if each.port == int(holder[1]))
                if int(start) <= slot <= int(end) and found.is_running:
                    return found
        raise AssertionError(f"nobody serves slot {slot}")

    async def slot_of(self, room: str) -> int:
        """The slot of a room's keys."""
        return int(await self._any().ask("CLUSTER", "KEYSLOT", f"chat_history_{room}"))

    async def until_whole(self, limit_s: float = FORM_LIMIT_S) -> None:
        """Waits until every running node says that all slots are served."""
        await until(self._is_whole, limit_s, "the Cluster serves all slots")

    async def move_slot(self, slot: int, target: Valkey) -> None:
        """Migrates one slot, key by key, as a resharding does; the Cluster serves it meanwhile."""
        source = await self.owner(slot)
        await target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", self.ids[source])
        await source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", self.ids[target])
        while keys := await source.ask("CLUSTER", "GETKEYSINSLOT", slot, 10):
            await source.ask(
                "MIGRATE", "127.0.0.1", target.port, "", 0, MIGRATE_TIMEOUT_MS, "KEYS", *keys
            )  # fmt: skip
        for node in (target, source):
            await node.ask("CLUSTER", "SETSLOT", slot, "NODE", self.ids[target])

    def _any(self) -> Valkey:
        return next(node for node in self.nodes if node.is_running)

    async def _is_whole(self) -> bool:
        for node in (node for node in self.nodes if node.is_running):
            try:
                info = str(await node.ask("CLUSTER", "INFO"))
                shown = await node.ask("CLUSTER", "SLOTS")
            except (RedisError, OSError):
                return False
            if "cluster_state:ok" not in info and "'cluster_state': 'ok'" not in info:
                return False
            if sum(int(end) - int(start) + 1 for start, end, *_ in shown) != SLOTS:
                return False
        return True


@asynccontextmanager
async def cluster(primaries: int = 3, persistence: str = "always") -> AsyncIterator[Cluster]:
    """A Cluster of so many primaries with one replica each, formed by plain commands."""
    buses = [Port() for _ in range(primaries * 2)]
    nodes = tuple(Valkey(*PERSISTENCE[persistence], *_REPLICATION, *_node_options(bus)) for bus in buses)
    try:
        await asyncio.gather(*(node.start() for node in nodes))
        found = Cluster(nodes, {node: str(await node.ask("CLUSTER", "MYID")) for node in nodes})
        await _form(found, [bus.number for bus in buses], primaries)
        yield found
    finally:
        for node in nodes:
            node.close()
        for bus in buses:
            bus.release()


def _node_options(bus: Port) -> tuple[str, ...]:
    return (
        "--cluster-enabled", "yes", "--cluster-port", str(bus.number), "--cluster-node-timeout",
        str(NODE_TIMEOUT_MS), "--cluster-announce-ip", "127.0.0.1", "--cluster-replica-validity-factor", "0",
    )  # fmt: skip


async def _form(found: Cluster, buses: list[int], primaries: int) -> None:
    first, others = found.nodes[0], list(zip(found.nodes, buses, strict=True))[1:]
    for number, node in enumerate(found.nodes):
        await node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
    for node, bus in others:
        await first.ask("CLUSTER", "MEET", "127.0.0.1", node.port, bus)
    share = SLOTS / primaries
    for number in range(primaries):
        span = round(number * share), round((number + 1) * share) - 1
        await found.nodes[number].ask("CLUSTER", "ADDSLOTSRANGE", *span)

    async def all_know_all() -> bool:
        known = [len(await node.ask("CLUSTER", "SHARDS")) for node in found.nodes]
        infos = [str(await node.ask("CLUSTER", "INFO")) for node in found.nodes]
        return all(known) and all(_says(info, "cluster_known_nodes", len(found.nodes)) for info in infos)

    await until(all_know_all, FORM_LIMIT_S, "the Cluster's nodes know each other")
    await found.until_whole()
    for number in range(primaries):
        await found.nodes[primaries + number].ask("CLUSTER", "REPLICATE", found.ids[found.nodes[number]])
    await until(lambda: _are_replicated(found, primaries), FORM_LIMIT_S, "every primary has its replica")
    await found.until_whole()


async def _are_replicated(found: Cluster, primaries: int) -> bool:
    for node in found.nodes[:primaries]:
        if not any("online" in str(value) for value in _values(await node.ask("INFO", "replication"))):
            return False
    return True


def _says(info: str, name: str, value: int) -> bool:
    return f"{name}:{value}" in info or f"'{name}': '{value}'" in info


def _hosts(servers: tuple[Valkey, ...]) -> str:
    return ",".join(f"127.0.0.1:{server.port}" for server in servers)


def _values(info: object) -> list[str]:
    return [str(each) for each in info.values()] if isinstance(info, dict) else str(info).split("\n")


def _pairs(flat: object) -> dict[str, str]:
    if isinstance(flat, dict):
        return {str(name): str(value) for name, value in flat.items()}
    assert isinstance(flat, list)
    return {str(flat[number]): str(flat[number + 1]) for number in range(0, len(flat), 2)}
