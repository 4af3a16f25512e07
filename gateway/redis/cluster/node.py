"""One node of a Redis Cluster: a primary and the connection to it, and the map that any node has."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.errors import StoreError, StoreUnavailable, StoreUnreachable
from gateway.redis.address import Endpoint, open_connection
from gateway.redis.cluster.slot_map import Address, SlotMap, read_slots
from gateway.redis.connection import CommandConnection
from gateway.redis.reconnect import ReconnectingConnection
from gateway.redis.troubles import trouble_with


class Node:
    """One primary and the connection to it."""

    def __init__(self, address: Address, reconnecting: ReconnectingConnection[CommandConnection]) -> None:
        self.address = address
        self.reconnecting = reconnecting
        self.last: CommandConnection | None = None


async def read_map(
    nodes: Sequence[Node], seeds: Sequence[Endpoint], make: Callable[[], CommandConnection], name: str
) -> SlotMap:
    """The map by the first node that answers; connections to seeds have that name. Raises the StoreUnavailable of the
    last seed when none does."""
    for node in nodes:
        if (connection := node.reconnecting.connection) is not None:
            try:
                return read_slots(await connection.call("CLUSTER", "SLOTS"), node.address)
            except StoreError:
                continue
    failure = StoreUnavailable("no node of the Cluster answers")
    for seed in seeds:
        try:
            return await _read_map_at(seed, make, name)
        except StoreUnavailable as error:
            failure = error
    raise failure


async def _read_map_at(seed: Endpoint, make: Callable[[], CommandConnection], name: str) -> SlotMap:
    connection = await open_connection(seed, make, name)
    try:
        return read_slots(await connection.call("CLUSTER", "SLOTS"), (seed.host, seed.port))
    except StoreError as error:
        raise StoreUnreachable(trouble_with(str(seed), error)) from error
    finally:
        connection.abort()
