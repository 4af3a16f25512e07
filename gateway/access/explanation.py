"""Why somebody may do something in a room, or may not, in words.

Says what `room_rules.py` decides, operation by operation; a test holds the two together. Values only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from gateway.access.identity import Identity
from gateway.access.rights import JOIN, MODERATE, OPERATIONS, SEND, Rights, granting
from gateway.access.room_rules import ANYONE, COUNT, GRANTED, HOOK, IN_THE_ROOM, OFF, USERS, RoomRule

YES, NO, ASKS = "yes", "no", "asks"


class Reason(NamedTuple):
    """One operation: yes, no, or that the hook is asked; and why."""

    operation: str
    verdict: str
    why: str


def explain(rule: RoomRule | None, identity: Identity, room: str) -> Iterator[Reason]:
    """All operations, in their order."""
    if rule is None:
        yield from (Reason(operation, NO, "no rule matches this room") for operation in OPERATIONS)
        return
    joins, why = _by_word(rule.join, JOIN, identity, room)
    yield Reason("join", joins, why)
    if joins == NO:
        outside = (name for name in OPERATIONS if name != "join")
        yield from (Reason(operation, NO, "only who may join may") for operation in outside)
        return
    for operation, verdict, why in _inside(rule, identity, room):
        is_open = joins == ASKS and verdict == YES
        yield Reason(
            operation, ASKS if is_open else verdict, f"if the hook lets in: {why}" if is_open else why
        )


def _inside(rule: RoomRule, identity: Identity, room: str) -> Iterator[Reason]:
    """What somebody may who is in."""
    if rule.send == IN_THE_ROOM:
        yield Reason("send", YES, "whoever is in the room may")
    else:
        yield Reason("send", *_by_word(rule.send, SEND, identity, room))
    kept = "; nothing is kept" if rule.history == 0 else ""
    yield Reason("history", YES, f"whoever is in the room may{kept}")
    if rule.members == OFF:
        yield Reason("members", NO, 'the rule has members = "off"')
    else:
        shown = "; it shows their number only" if rule.members == COUNT else ""
        yield Reason("members", YES, f"whoever is in the room may{shown}")
    if rule.signals:
        yield Reason("signal", YES, "whoever is in the room may")
    else:
        yield Reason("signal", NO, "the rule has signals = false")
    verdict, why = _by_word(GRANTED, MODERATE, identity, room)
    if verdict == NO and rule.asks_hook:
        verdict, why = ASKS, "the hook decides: no grant allows it"
    yield Reason("moderate", verdict, why)


def _by_word(word: str, right: Rights, identity: Identity, room: str) -> tuple[str, str]:
    if word == ANYONE:
        return YES, "anyone may"
    if word == USERS:
        return (
            (NO, "only users may, and a guest shows no token")
            if identity.is_guest
            else (YES, "every user may")
        )
    if word == GRANTED:
        pattern = granting(identity.grants, room, right)
        if pattern is not None:
            return YES, f"the token grants it for {pattern!r}"
        return NO, "it takes a grant, " + (
            "and a guest has none" if identity.is_guest else "which the token lacks"
        )
    if word == HOOK:
        return ASKS, "the hook decides"
    return NO, "nobody may"
