"""The ways to Redis that `gateway check` takes: those of the gateway.

Owns nothing of its own: URLs are read, primaries are found and connections are opened by the gateway's functions, so
that what works here works there. Waits at most `WAIT_S` for a server. Raises `Wrong` with one sentence.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from redis.crc import key_slot

from gateway.errors import StoreError, StoreRefused, StoreUnavailable
from gateway.interfaces import Reply
from gateway.redis.address import (
    AnyConnection,
    Endpoint,
    endpoint_of,
    open_connection,
    with_address,
)
from gateway.redis.cluster.slot_map import Address, read_slots, seeds_of
from gateway.redis.connection import CommandConnection, CommandOptions, settle
from gateway.redis.script import Script
from gateway.redis.sentinel import SentinelFinder
from gateway.redis.subscriber_connection import SubscriberConnection
from gateway.redis_url import Topology, read_redis_url
from gateway.server.findings import Wrong, parse_info, wrong_with

WAIT_S = 3.0
"""Longest wait for one server."""
NAME = "gateway-check"
"""The connections' name, as Redis lists them."""

_ECHO_TEXT = b"""
redis.call('SET', KEYS[1], ARGV[1], 'PX', 10000)
local value = redis.call('GET', KEYS[1])
redis.call('DEL', KEYS[1])
return value
"""
ECHO = Script("echo", _ECHO_TEXT, hashlib.sha1(_ECHO_TEXT).hexdigest().encode())
"""Writes a value, returns it, and takes it away again."""
OPTIONS = CommandOptions(timeout_s=WAIT_S, unresponsive_s=WAIT_S, scripts=(ECHO,))


@dataclass(frozen=True, slots=True)
class Server:
    """A server that takes writes, and the connection to it."""

    endpoint: Endpoint
    connection: CommandConnection

    async def ask(self, *arguments: str | bytes) -> Reply:
        """The reply to a command. Raises StoreRefused when the server does not know or allow it, else Wrong."""
        try:
            return await self.connection.call(*arguments)
        except StoreRefused:
            raise
        except StoreError as error:
            raise self.wrong(error) from error

    async def need(self, *arguments: str | bytes) -> Reply:
        """The reply to a command that the gateway cannot do without. Raises Wrong."""
        try:
            return await self.ask(*arguments)
        except StoreRefused as error:
            raise self.wrong(error) from error

    async def run(self, script: Script, key: bytes, argument: bytes) -> Reply:
        """What a script returns that was loaded when the connection was opened. Raises Wrong."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.connection.submit(script.command((key,), argument), settle(future))
        try:
            return await future
        except StoreError as error:
            raise self.wrong(error) from error

    def wrong(self, error: BaseException) -> Wrong:
        """What an error of this server means, in one sentence."""
        return wrong_with(str(self.endpoint), error, WAIT_S)


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


async def open_store(url: str, stack: ExitStack) -> Store:
    """Connects to all servers that take writes; the stack closes the connections. Raises Wrong."""
    topology = read_redis_url(url).topology
    if topology is Topology.CLUSTER:
        return await _by_cluster(seeds_of(url), stack)
    if topology is Topology.SENTINEL:
        return await _by_sentinel(SentinelFinder(url), url, stack)
    server = await _connect(endpoint_of(url), stack)
    return Store((server,), "standalone: one server, named by the URL")


async def _by_sentinel(finder: SentinelFinder, url: str, stack: ExitStack) -> Store:
    try:
        endpoint = await finder.find()
    except StoreUnavailable as error:
        named = ", ".join(f"{host}:{port}" for host, port in read_redis_url(url).hosts)
        raise Wrong(
            f"No Sentinel of {named} names a healthy primary for the service {finder.service}."
        ) from error
    finally:
        await finder.close()
    server = await _connect(endpoint, stack)
    info = parse_info(await server.need("INFO", "replication"))
    replicas = ", ".join(info.replicas) or "none"
    topology = f"Sentinel, service {finder.service}: primary {endpoint}, healthy replicas {replicas}"
    return Store((server,), topology)


async def _by_cluster(seeds: list[Endpoint], stack: ExitStack) -> Store:
    seed = await _first_that_answers(seeds, stack)
    try:
        reply = await seed.ask("CLUSTER", "SLOTS")
    except StoreRefused as error:
        if "cluster support disabled" not in str(error):
            raise seed.wrong(error) from error
        raise Wrong(
            f"{seed.endpoint} is not a node of a Redis Cluster: name it by redis://{seed.endpoint}."
        ) from error
    owners = tuple(read_slots(reply, (seed.endpoint.host, seed.endpoint.port)))
    addresses = list(dict.fromkeys(owner for owner in owners if owner is not None))
    if not addresses:
        raise Wrong("The Cluster is down: no node serves any slot.")
    if b"cluster_state:ok" not in await seed.need("CLUSTER", "INFO"):
        raise Wrong("The Cluster is down: some slots have no primary that answers.")
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
    connection = await _opened(endpoint, lambda: CommandConnection(_nothing, OPTIONS), stack)
    connection.load_scripts()
    return Server(endpoint, connection)


async def _opened(endpoint: Endpoint, make: Callable[[], AnyConnection], stack: ExitStack) -> AnyConnection:
    """Opens a connection as the gateway does; like it, tries again when there was no answer in time. Raises Wrong."""
    try:
        async with asyncio.timeout(WAIT_S):
            connection = await _retried(endpoint, make)
    except TimeoutError as late:
        raise wrong_with(str(endpoint), late, WAIT_S) from late
    except StoreUnavailable as error:
        raise wrong_with(str(endpoint), error.__cause__ or error, WAIT_S) from error
    stack.callback(connection.abort)
    return connection


async def _retried(endpoint: Endpoint, make: Callable[[], AnyConnection]) -> AnyConnection:
    while True:
        try:
            return await open_connection(endpoint, make, NAME)
        except StoreUnavailable as error:
            if not isinstance(error.__cause__, TimeoutError):
                raise


async def open_listener(
    server: Server, on_messages: Callable[[list[tuple[bytes, bytes]]], None], stack: ExitStack
) -> SubscriberConnection:
    """A connection for subscriptions to the same server. Raises Wrong."""
    return await _opened(
        server.endpoint, lambda: SubscriberConnection(_nothing, on_messages, _nothing), stack
    )


def _nothing(*_: Any) -> None:
    """The end of a connection shows in the command that waits for it."""
