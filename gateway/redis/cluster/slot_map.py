"""The map of a Redis Cluster as it is written: seeds in a URL, owners of slots, addresses in errors. Pure functions."""

from __future__ import annotations

from gateway.interfaces import Reply
from gateway.redis.address import Endpoint, endpoint_of

Address = tuple[str, int]

SLOTS = 16384
"""Of every Redis Cluster (Redis documentation, "Redis Cluster specification")."""


def seeds_of(url: str) -> list[Endpoint]:
    """The nodes named in `redis+cluster://[user:password@]host:port[,host:port…]`. Raises ValueError."""
    scheme, _, rest = url.partition("://")
    credentials, at, hosts = rest.split("/", 1)[0].rpartition("@")
    plain = "rediss" if scheme.startswith("rediss") else "redis"
    seeds = [endpoint_of(f"{plain}://{credentials}{at}{host}") for host in hosts.split(",") if host]
    if not seeds:
        raise ValueError("a Cluster's URL names at least one node: redis+cluster://host:port")
    return seeds


def read_slots(reply: Reply, asked: Address) -> list[Address | None]:
    """The owner of each slot from CLUSTER SLOTS; a node without a host name is the one that was asked."""
    owners: list[Address | None] = [None] * SLOTS
    for first, last, primary, *_ in reply:
        host = primary[0].decode() if primary[0] else asked[0]
        owners[first : last + 1] = [(host, int(primary[1]))] * (last + 1 - first)
    return owners


def address_of(text: str, known: Address | None) -> Address:
    """Where MOVED or ASK points; without a host it is that of the node that is known."""
    host, _, port = text.rpartition(":")
    return host or (known[0] if known is not None else "127.0.0.1"), int(port)
