"""Whose word counts for a client's address.

Owns what an address is: `address_of` is the only place that reads one. Whatever says where a client comes from (the
peer of a connection, a line of X-Forwarded-For) goes through it, and so becomes an address in its one usual form, or
none at all.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_WITH_PORT = re.compile(r"\[(?P<v6>[0-9A-Fa-f:.%\w]+)\](:\d{1,5})?|(?P<v4>[0-9.]+):\d{1,5}", re.ASCII)
LONGEST = 80
"""An address with brackets, a zone and a port is shorter; what is longer is none."""
LATELY_SEEN = 2_000
"""Texts whose address is remembered, for peers and proxies come again: to read one takes 5 µs."""
_MAPPED_BITS = 96
"""Bits before the IPv4 address in `::ffff:0:0/96`."""


def address_of(text: str) -> str | None:
    """The address that a text names, in its usual form; None if it names none.

    A port, brackets, quotes and a zone are left out, and IPv4 written as IPv6 is IPv4:
    `[2001:DB8::7]:443` is `2001:db8::7`, and `::ffff:203.0.113.7` is `203.0.113.7`.
    """
    address = _parsed(text)
    return None if address is None else str(address)


def _parsed(text: str) -> Address | None:
    text = text.strip().strip('"')
    return None if len(text) > LONGEST else _read(text)


@lru_cache(LATELY_SEEN)
def _read(text: str) -> Address | None:
    if (found := _WITH_PORT.fullmatch(text)) is not None:
        text = found["v6"] or found["v4"]
        if found["v6"] and ":" not in text:
            return None  # brackets are for IPv6
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


@lru_cache(LATELY_SEEN)
def _usual_form(peer: str) -> str | None:
    """`address_of` for the peer of a connection, which is asked for twice in a handshake."""
    return address_of(peer)


class Proxies:
    """Who may speak for a client's address."""

    def __init__(self, trusted: tuple[str, ...]) -> None:
        """`trusted` are addresses or networks, or `*` for everybody; raises ValueError for anything else."""
        self._is_all = "*" in trusted
        self._networks = [network_of(one) for one in trusted if one != "*"]

    def client(self, peer: str, forwarded: Iterable[str] = ()) -> str | None:
        """The client's address: the peer's, or the last one in X-Forwarded-For that no trusted proxy has.

        `forwarded` are the header's lines, in order: together they are one list. None where nobody who is trusted says
        an address: a proxy may write `unknown`, and the peer of a Unix socket has none.
        """
        if not forwarded:
            return _usual_form(peer)
        address = _parsed(peer)
        for claimed in reversed(",".join(forwarded).split(",")):
            if not claimed.strip() or not self._is_trusted(address):
                break
            address = _parsed(claimed)
            if address is None:
                break  # who is left of that is anybody's word
        return None if address is None else str(address)

    def is_proxy(self, peer: str) -> bool:
        """Whether a connection's peer is one of them, and carries requests of many clients."""
        return self._is_trusted(_parsed(peer))

    def _is_trusted(self, address: Address | None) -> bool:
        return self._is_all or (address is not None and any(address in each for each in self._networks))


def network_of(text: str) -> Network:
    """The network that a text names; raises ValueError. One of IPv4 that is written as IPv6 is IPv4's, as its addresses
    are."""
    network = ipaddress.ip_network(text, strict=False)
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= _MAPPED_BITS:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.ip_network((mapped, network.prefixlen - _MAPPED_BITS))
    return network
