"""One primary of a Redis Cluster."""

from __future__ import annotations

from gateway.redis.cluster.slot_map import Address
from gateway.redis.connection import CommandConnection
from gateway.redis.reconnect import ReconnectingConnection


class Node:
    """One primary and the connection to it."""

    def __init__(self, address: Address, reconnecting: ReconnectingConnection[CommandConnection]) -> None:
        self.address = address
        self.reconnecting = reconnecting
        self.last: CommandConnection | None = None
