"""How much may come from one address to one worker.

Owns a few numbers for each address that did something lately. An address of IPv6 counts with its whole /64, which one
customer has. Addresses that very many people may share (`GATEWAY_SHARED_NETWORKS`) do not count, nor does a client
whose address nobody trusted says (`transport/proxies.py`).

The map is bounded: beyond `ADDRESSES_MAX` the one that was quiet for longest is forgotten, and has its whole burst
again. So whoever fills the map, with a million addresses of IPv6, locks nobody out.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from math import ceil
from typing import NamedTuple

import structlog

from gateway.access.rates import Rate
from gateway.limit_options import LimitOptions
from gateway.metrics import rate_limited
from gateway.transport.proxies import LATELY_SEEN

log = structlog.get_logger("gateway.access")

ADDRESSES_MAX = 100_000
NAME_YOUR_PROXIES = (
    "If that is a balancer, name it in GATEWAY_TRUSTED_PROXIES: its clients are not limited by address."
)
SHUT_OUT_S = 60.0
"""How long an address is answered 429 after too many CONNECTs of it were refused."""
COME_BACK_S = 60
"""Retry-After where an address has too many connections: nobody knows when one of them ends."""


class _Used(NamedTuple):
    """What an address has used up: when its buckets are full again, and until when it is shut out (monotonic)."""

    handshakes: float = 0.0
    failures: float = 0.0
    shut_out_until_s: float = 0.0

    def is_nothing(self, now_s: float) -> bool:
        return now_s >= max(self)


NOTHING = _Used()


class Addresses:
    """The addresses of one worker's clients."""

    def __init__(self, options: LimitOptions) -> None:
        self._handshakes = Rate.of(options.address_handshakes_per_s, options.address_handshakes_burst)
        self._failures = Rate.of(options.address_failures_per_min / 60, options.address_failures_burst)
        self._connections_max = options.address_connections
        self._shared = _Networks(options.shared_networks)
        self._has_told_of_proxy = False
        # Least lately used first.
        self._used: dict[str, _Used] = {}
        # The address of each session, and how many an address has; only while that is limited.
        self._of: dict[str, str] = {}
        self._connections: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._used)

    def tell_of_proxy(self, peer: str | None) -> None:
        """A peer that is nobody's trusted proxy forwards an address: if it is a balancer, its clients are not limited,
        which whoever runs it must know. Logged once."""
        if self._has_told_of_proxy or peer is None or peer not in self._shared:
            return
        self._has_told_of_proxy = True
        log.warning("forwarded_address_ignored", peer=peer, advice=NAME_YOUR_PROXIES)

    def handshake(self, address: str | None, now_s: float) -> int:
        """A client wants a new session: 0 if it may go on, else the seconds after which it may come again."""
        key = self._key(address)
        if key is None:
            return 0
        used = self._used.pop(key, NOTHING)
        shut_out_s, wait_s = used.shut_out_until_s - now_s, self._handshakes.wait_s(used.handshakes, now_s)
        if shut_out_s > 0 or wait_s:
            self._keep(key, used, now_s)
            rate_limited.because("address_failures" if shut_out_s > 0 else "address_handshakes")
            return ceil(max(shut_out_s, wait_s))
        self._keep(key, used._replace(handshakes=self._handshakes.taken(used.handshakes, now_s)), now_s)
        return 0

    def failed(self, address: str | None, now_s: float) -> None:
        """A CONNECT of a client, or the key of a backend, was refused: with too many of them its address is shut
        out for a while."""
        key = self._key(address)
        if key is None:
            return
        used = self._used.pop(key, NOTHING)
        if self._failures.wait_s(used.failures, now_s):
            used = used._replace(shut_out_until_s=now_s + SHUT_OUT_S)
        else:
            used = used._replace(failures=self._failures.taken(used.failures, now_s))
        self._keep(key, used, now_s)

    def shut_out_s(self, address: str | None, now_s: float) -> int:
        """0, or for how many seconds an address is shut out, after too many CONNECTs of it, or keys, were refused."""
        key = self._key(address)
        if key is None or (left_s := self._used.get(key, NOTHING).shut_out_until_s - now_s) <= 0:
            return 0
        rate_limited.because("address_failures")
        return ceil(left_s)

    def has_room(self, address: str | None) -> int:
        """0 if one more session of an address may begin, else the seconds after which to try again."""
        if not self._connections_max or (key := self._key(address)) is None:
            return 0
        if self._connections.get(key, 0) < self._connections_max:
            return 0
        rate_limited.because("address_connections")
        return COME_BACK_S

    def opened(self, sid: str, address: str | None) -> None:
        """A session has begun."""
        if self._connections_max and (key := self._key(address)) is not None:
            self._of[sid] = key
            self._connections[key] = self._connections.get(key, 0) + 1

    def ended(self, sid: str) -> None:
        """A session is over."""
        key = self._of.pop(sid, None)
        if key is None:
            return
        self._connections[key] -= 1
        if not self._connections[key]:
            del self._connections[key]

    def _key(self, address: str | None) -> str | None:
        """What an address counts as; None if it does not."""
        if address is None or address in self._shared:
            return None
        return address if ":" not in address else ipaddress.IPv6Address(address).exploded[:19]

    def _keep(self, key: str, used: _Used, now_s: float) -> None:
        """Keeps an address as the one used last, and forgets up to two that were not for long: those that have
        nothing used up, and beyond the bound any."""
        self._used[key] = used
        for old in [each for each, _ in zip(self._used, range(2), strict=False)]:
            if self._used[old].is_nothing(now_s) or len(self._used) > ADDRESSES_MAX:
                del self._used[old]


class _Networks:
    """A set of networks."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(each, strict=False) for each in networks]
        # What was found lately: proxies and offices come again, and to read an address takes 5 µs.
        self._holds = lru_cache(LATELY_SEEN)(self._find)

    def __contains__(self, address: object) -> bool:
        if not self._networks:
            return False
        return self._holds(str(address))

    def _find(self, address: str) -> bool:
        parsed = ipaddress.ip_address(address)
        return any(parsed in network for network in self._networks)
