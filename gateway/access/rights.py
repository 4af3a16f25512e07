"""What who may do in which room, as bits.

Owns the operations, and what a token's grants add up to. A right is a bit, so that a membership remembers all of them
in one number and a send tests one bit. Grants add up in any order, and nothing takes a right away: who has more
grants never has fewer rights. Values only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.access.patterns import matches

JOIN, SEND, HISTORY, MEMBERS, SIGNAL, MODERATE = 1, 2, 4, 8, 16, 32
ALL = JOIN | SEND | HISTORY | MEMBERS | SIGNAL | MODERATE

SLOWED = 64
"""No operation: who has it must wait between two messages (a rule's `slow_s`)."""

JUDGED = 128
"""No operation: what such a member sends is shown to the application first (a rule's `moderation`)."""

OPERATIONS: dict[str, int] = {
    "join": JOIN,
    "send": SEND,
    "history": HISTORY,
    "members": MEMBERS,
    "signal": SIGNAL,
    "moderate": MODERATE,
}
"""What a grant may name; `*` is all of them."""

Rights = int
"""Some of the bits above: a plain number, because each send tests one."""

Grants = Mapping[str, frozenset[str]]
"""Room pattern → operations, as a token's claim `rooms` says them."""


def bits_of(operations: Iterable[str]) -> Rights:
    """The bits of some operations. A word that is none is no right."""
    rights = 0
    for operation in operations:
        rights |= ALL if operation == "*" else OPERATIONS.get(operation, 0)
    return rights


def granted(grants: Grants, room: str) -> Rights:
    """What grants add up to in a room. A pattern that would be refused in a file grants nothing."""
    rights = 0
    for pattern, operations in grants.items():
        if matches(pattern, room):
            rights |= bits_of(operations)
    return rights


def granting(grants: Grants, room: str, right: Rights) -> str | None:
    """The first pattern by which a right is granted in a room, for whoever wants to know why."""
    for pattern, operations in grants.items():
        if bits_of(operations) & right and matches(pattern, room):
            return pattern
    return None
