"""The map of a Redis Cluster as it is written: seeds in a URL, owners of slots, addresses in errors. Pure functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from gateway.interfaces import Reply
from gateway.redis.address import Endpoint, endpoints_of
from gateway.redis_url import read_redis_url

Address = tuple[str, int]

SLOTS = 16384
"""Of every Redis Cluster (Redis documentation, "Redis Cluster specification")."""


def seeds_of(url: str) -> list[Endpoint]:
    """The nodes named in `redis+cluster://[user:password@]host:port[,host:port…]`. Raises UrlError."""
    return endpoints_of(read_redis_url(url))


NAME_CHARACTERS = 8
"""Of a node's id (40 hexadecimal digits), by which messages say where they come from; publish.lua cuts it alike. They
tell the few nodes of one shard apart."""


class SlotMap(NamedTuple):
    """The owner of each slot, and the name of each owner."""

    owners: list[Address | None]
    names: dict[Address, str]


def read_slots(reply: Reply, asked: Address) -> SlotMap:
    """The map from CLUSTER SLOTS; a node without a host name is the one that was asked."""
    owners: list[Address | None] = [None] * SLOTS
    names: dict[Address, str] = {}
    for first, last, primary, *_ in reply:
        address = primary[0].decode() if primary[0] else asked[0], int(primary[1])
        owners[first : last + 1] = [address] * (last + 1 - first)
        names[address] = primary[2].decode()[:NAME_CHARACTERS]
    return SlotMap(owners, names)


def address_of(text: str, known: Address | None) -> Address:
    """Where MOVED or ASK points; without a host it is that of the node that is known."""
    host, _, port = text.rpartition(":")
    return host or (known[0] if known is not None else "127.0.0.1"), int(port)


HOMES_TRIED = 1000
"""Keys that are tried to find one on each primary: of 100 primaries with equal shares, one in 20,000 is missed."""


def one_for_each(owner_of: Callable[[int], Address | None], primaries: int) -> list[int]:
    """One number for each of so many primaries, by the owner of what is made of the number, in at most `HOMES_TRIED`
    tries."""
    found: dict[Address | None, int] = {}
    for number in range(HOMES_TRIED):
        found.setdefault(owner_of(number), number)
        if len(found) >= primaries:
            break
    return list(found.values())
