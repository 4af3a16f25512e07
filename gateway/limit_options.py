"""The options of how much is too much: for one connection, one user, one address.

A group as those in `option_groups.py`, with a file of its own. Rates count in one worker, in memory: Redis is not
asked. 0 turns a limit off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.option_types import networks_or_none, number, option, whole

# An option per two or three lines, as a table: the formatter would make six of each.
# fmt: off

SHARED_NETWORKS = (
    "127.0.0.0/8", "::1/128",  # the host itself
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7",  # private
    "100.64.0.0/10",  # a carrier's or a cloud's inside
    "169.254.0.0/16", "fe80::/10",  # link-local
)
"""Addresses that do not come over the internet: behind one may be a balancer, Docker's bridge, or a whole site."""


def _per_s(variable: str, default: float, meaning: str) -> Any:
    return option(variable, default, number(0, 1_000_000, "a second"), meaning)


def _burst(variable: str, default: int, meaning: str) -> Any:
    return option(variable, default, whole(1, 1_000_000), meaning)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitOptions:
    """How much one connection, one user and one address may do on one worker; a rate of 0 is no limit."""

    sends_per_s: float = _per_s("GATEWAY_SENDS_PER_S", 15.0,
        "Messages of one connection; more are `rate_limited`. Raise it for bots, not for people.")
    sends_burst: int = _burst("GATEWAY_SENDS_BURST", 20,
        "How many messages it may send at once. Raise it when clients keep more while they are away.")
    sends_cut_off_per_s: float = _per_s("GATEWAY_SENDS_CUT_OFF_PER_S", 50.0,
        "A connection that sends more than so many messages in each of 10 seconds in a row is ended for good.")
    joins_per_s: float = _per_s("GATEWAY_JOINS_PER_S", 20.0,
        "Joins of one connection; those of all its rooms (`GATEWAY_ROOMS_PER_CONNECTION`) may come at once, more "
        "wait. Lower it where joins cost your Redis too much.")
    joins_waiting_max: int = option("GATEWAY_JOINS_WAITING_MAX", 200, whole(0, 1_000_000, "joins"),
        "How many joins of a worker may wait so; more are `rate_limited`. At 0 none waits.")
    reads_per_s: float = _per_s("GATEWAY_READS_PER_S", 5.0,
        "`history` of one connection, and as many each of `members`, `read` and `unread`. Raise it for clients that "
        "page through rooms.")
    reads_burst: int = _burst("GATEWAY_READS_BURST", 20,
        "How many of each may come at once. Raise it with the rooms that a page shows when it is opened.")
    signals_per_s: float = _per_s("GATEWAY_SIGNALS_PER_S", 5.0,
        "Signals of one connection; more are dropped, and nobody is told. Raise it where signals are more than typing.")
    signals_burst: int = _burst("GATEWAY_SIGNALS_BURST", 10,
        "How many signals may come at once.")
    events_per_s: float = _per_s("GATEWAY_EVENTS_PER_S", 60.0,
        "Events of one connection, of all kinds together. What its own limit refuses does not count.")
    events_burst: int = _burst("GATEWAY_EVENTS_BURST", 200,
        "How many events may come at once; never less than twice `GATEWAY_ROOMS_PER_CONNECTION`, as who comes back "
        "joins all rooms.")
    refusals_max: int = option("GATEWAY_REFUSALS_MAX", 20, whole(0, 1_000_000, "refusals"),
        "With more refused events in 5 seconds a connection is ended for good. What is not its fault does not count. "
        "Raise it while you look for the fault of a client.")
    user_sends_per_s: float = _per_s("GATEWAY_USER_SENDS_PER_S", 20.0,
        "Messages of one user with a token, over all connections to one worker. Raise it with `GATEWAY_SENDS_PER_S`.")
    user_sends_burst: int = _burst("GATEWAY_USER_SENDS_BURST", 40,
        "How many messages a user may send at once.")
    user_connections: int = option("GATEWAY_USER_CONNECTIONS", 20, whole(0, 1_000_000, "connections"),
        "Connections of one user with a token to one worker; one more is refused. Raise it for accounts that many "
        "devices share.")
    address_handshakes_per_s: float = _per_s("GATEWAY_ADDRESS_HANDSHAKES_PER_S", 20.0,
        "New sessions from one address (IPv6: one /64) to one worker; more are answered 429. Raise it where more than "
        "200 people share an address.")
    address_handshakes_burst: int = _burst("GATEWAY_ADDRESS_HANDSHAKES_BURST", 200,
        "How many of them may come at once: a school that comes back.")
    address_failures_per_min: float = option("GATEWAY_ADDRESS_FAILURES_PER_MIN", 10.0, number(0, 1_000_000, "a minute"),
        "CONNECTs from one address that are refused, for a wrong token say; with more, it is answered 429 for 60 s.")
    address_failures_burst: int = _burst("GATEWAY_ADDRESS_FAILURES_BURST", 30,
        "How many of them may come at once. Raise it where many people share an address and their tokens end "
        "together.")
    address_connections: int = option("GATEWAY_ADDRESS_CONNECTIONS", 0, whole(0, 1_000_000, "connections"),
        "Sessions of one address (IPv6: one /64) on one worker; one more is answered 429. Set it where you know how "
        "many people share one.")
    shared_networks: tuple[str, ...] = option("GATEWAY_SHARED_NETWORKS", SHARED_NETWORKS, networks_or_none(),
        "Networks whose addresses are not limited, because behind one may be very many people. Add the addresses of "
        "schools and offices. `-` is none.", "loopback, private and link-local")


# fmt: on

WITHOUT_LIMITS = LimitOptions(
    sends_per_s=0, sends_cut_off_per_s=0, joins_per_s=0, reads_per_s=0, signals_per_s=0, events_per_s=0,
    refusals_max=0, user_sends_per_s=0, user_connections=0, address_handshakes_per_s=0, address_failures_per_min=0,
)  # fmt: skip
"""For a chat that stands alone."""
