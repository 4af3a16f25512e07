"""The servers that `gateway check` describes, and a connection to each.

Owns nothing of its own: URLs are read, primaries are found and connections are opened by the gateway's functions. Waits
at most `WAIT_S` for an answer. Raises `Wrong` with one sentence.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from redis.crc import key_slot

from gateway.errors import StoreDenied, StoreError, StoreRefused, StoreUnavailable
from gateway.interfaces import Reply
from gateway.redis.address import (
    Endpoint,
    endpoint_of,
    open_connection,
    with_address,
)
from gateway.redis.cluster.slot_map import Address, read_slots, seeds_of
from gateway.redis.connection import CommandConnection, CommandOptions
from gateway.redis.sentinel import SentinelFinder, SentinelLogin
from gateway.redis.troubles import trouble_with
from gateway.redis_url import Topology, read_redis_url
from gateway.server.findings import Wrong, parse_info

WAIT_S = 3.0
"""Longest wait for one server."""
NAME = "gateway-check"
"""The connections' name, as Redis lists them."""

OPTIONS = CommandOptions(timeout_s=WAIT_S, unresponsive_s=WAIT_S)


@dataclass(frozen=True, slots=True)
class Server:
    """A server that takes writes, and the connection to it."""

    endpoint: Endpoint
    connection: CommandConnection

    async def ask(self, *arguments: str | bytes) -> Reply:
        """The reply to a command. Raises StoreRefused or StoreDenied when the server does not know or allow it, else
        Wrong."""
        try:
            return await self.connection.call(*arguments)
        except (StoreRefused, StoreDenied):
            raise
        except StoreError as error:
            raise self.wrong(error) from error

    async def need(self, *arguments: str | bytes) -> Reply:
        """The reply to a command that the gateway cannot do without. Raises Wrong."""
        try:
            return await self.ask(*arguments)
        except (StoreRefused, StoreDenied) as error:
            raise self.wrong(error) from error

    def wrong(self, error: BaseException) -> Wrong:
        """What an error of this server means, in one sentence."""
        return Wrong(f"{trouble_with(str(self.endpoint), error)}.")


@dataclass(frozen=True, slots=True)
class Store:
    """All of Redis as it was found: the servers that take writes, and the owner of each slot of a Cluster."""

    servers: tuple[Server, ...]
    topology: str
    owners: tuple[Address | None, ...] = ()

    @property
    def is_cluster(self) -> bool:
        """Whether each key has a slot, and each slot a server."""
        return bool(self.owners)

    def holder(self, key: bytes) -> Server:
        """The server of a key or of a channel. Raises Wrong where a Cluster has none."""
        if not self.owners:
            return self.servers[0]
        owner = self.owners[key_slot(key)]
        if owner is None:
            raise Wrong("The Cluster is down: some slots have no primary.")
        return next(each for each in self.servers if (each.endpoint.host, each.endpoint.port) == owner)


async def open_store(url: str, login: SentinelLogin, stack: ExitStack) -> Store:
    """Connects to all servers that take writes; the stack closes the connections. `login` is for Sentinels. Raises
    Wrong."""
    topology = read_redis_url(url).topology
    if topology is Topology.CLUSTER:
        return await _by_cluster(seeds_of(url), stack)
    if topology is Topology.SENTINEL:
        return await _by_sentinel(SentinelFinder(url, login), url, stack)
    server = await _connect(endpoint_of(url), stack)
    return Store((server,), "standalone: one server, named by the URL")


async def _by_sentinel(finder: SentinelFinder, url: str, stack: ExitStack) -> Store:
    try:
        endpoint = await finder.find()
    except StoreUnavailable as error:
        raise Wrong(f"{error}.") from error
    finally:
        await finder.close()
    server = await _connect(endpoint, stack)
    try:
        replicas = ", ".join(parse_info(await server.ask("INFO", "replication")).replicas) or "none"
    except (StoreRefused, StoreDenied):
        replicas = "not told"
    topology = f"Sentinel, service {finder.service}: primary {endpoint}, healthy replicas {replicas}"
    return Store((server,), topology)


async def _by_cluster(seeds: list[Endpoint], stack: ExitStack) -> Store:
    seed = await _first_that_answers(seeds, stack)
    reply = await seed.need("CLUSTER", "SLOTS")
    owners = tuple(read_slots(reply, (seed.endpoint.host, seed.endpoint.port)).owners)
    addresses = list(dict.fromkeys(owner for owner in owners if owner is not None))
    servers = [await _connect(with_address(seed.endpoint, *address), stack) for address in addresses]
    names = ", ".join(str(server.endpoint) for server in servers)
    replicas = {(node[0], node[1]) for _, _, _, *nodes in reply for node in nodes}
    topology = f"Cluster of {len(servers)} primaries ({names}) and {len(replicas)} replicas"
    return Store(tuple(servers), topology, owners)


async def _first_that_answers(seeds: list[Endpoint], stack: ExitStack) -> Server:
    for seed in seeds[:-1]:
        try:
            return await _connect(seed, stack)
        except Wrong:
            continue
    return await _connect(seeds[-1], stack)


async def _connect(endpoint: Endpoint, stack: ExitStack) -> Server:
    """Opens a connection as the gateway does. Raises Wrong."""
    try:
        connection = await open_connection(endpoint, lambda: CommandConnection(_nothing, OPTIONS), NAME)
    except StoreUnavailable as error:
        raise Wrong(f"{error}.") from error
    stack.callback(connection.abort)
    return Server(endpoint, connection)


def _nothing(*_: Any) -> None:
    """The end of a connection shows in the command that waits for it."""
