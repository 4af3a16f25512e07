"""One webhook, as the operator's file describes it: which rooms, which events, where to, and how it is signed."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.access.patterns import matches
from gateway.state.hook_queue import MEMBER, MESSAGES, OCCUPIED

MESSAGE_EVENTS, ROOM_EVENTS, MEMBER_EVENTS = "message", "room", "member"
"""What a webhook can ask for: messages; whether anybody is in a room; who comes and goes."""

EVENTS = (MESSAGE_EVENTS, ROOM_EVENTS, MEMBER_EVENTS)

_ASKED_BY = {MESSAGES: MESSAGE_EVENTS, OCCUPIED: ROOM_EVENTS, MEMBER: MEMBER_EVENTS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """name     of its state in Redis and of its metrics
    url      where it is posted to; may hold what is secret
    secrets  each signs what is posted
    events   of `EVENTS`
    rooms    patterns of the rooms that it is about
    line     where it stands in the file
    """

    name: str
    url: str = field(repr=False)
    secrets: tuple[bytes, ...] = field(repr=False)
    events: tuple[str, ...] = EVENTS
    rooms: tuple[str, ...] = ("**",)
    line: int = 0

    def wants(self, kind: str, room: str) -> bool:
        """Whether it is told of marks of that kind in a room."""
        return _ASKED_BY[kind] in self.events and any(matches(pattern, room) for pattern in self.rooms)
