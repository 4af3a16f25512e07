"""What clients say beside messages, and what they are told of each other: the parts for it, put together.

Owns no state.
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from gateway.access.connection_limits import ConnectionLimits
from gateway.access.permissions import Permissions
from gateway.access.rights import MEMBERS
from gateway.chat.judging import Judging
from gateway.chat.marks import Marks
from gateway.chat.memberships import Memberships
from gateway.chat.presence_tracker import PresenceTracker
from gateway.chat.room_sizes import RoomSizes
from gateway.chat.session import Session
from gateway.chat.signals import Signals
from gateway.client_events import Members
from gateway.interfaces import CommandStore
from gateway.protocol import Refusal
from gateway.rooms.publisher import Publisher
from gateway.state.read_marks import ReadMarks

MEMBERS_MAX = 200
"""Usernames that `members` lists at most (the wire contract, docs/protocol.md)."""


class TalkParts(NamedTuple):
    """What is below: the store, marks in it, how many users a room may have for its signals, and who sees messages
    before they are stored."""

    store: CommandStore
    marks: ReadMarks
    signals_users_max: int
    judging: Judging


class Talking:
    """Signals, marks, and who is there."""

    def __init__(
        self,
        parts: TalkParts,
        publisher: Publisher,
        tracker: PresenceTracker,
        memberships: Memberships,
        permissions: Permissions,
        limits: ConnectionLimits,
    ) -> None:
        sizes = RoomSizes(tracker)
        self.signals = Signals(
            publisher, parts.store, sizes, limits, parts.signals_users_max, memberships.moderated
        )
        self.marks = Marks(parts.marks, memberships, permissions, sizes, publisher, limits)
        self._tracker = tracker
        self._permissions = permissions

    async def members(self, session: Session, event: Members, ack: int | None) -> None:
        """A member asks who is there. Where tokens count, and names are shown, it is told who has shown one, too."""
        member = session.rooms.get(event.room)
        if member is None:
            raise Refusal("not_joined")
        if not member.rights & MEMBERS:
            raise Refusal("forbidden", operation="members")
        shows_names = self._permissions.shows_names(event.room)
        most = MEMBERS_MAX if shows_names else 0
        most_users = most if session.voice.is_checked else 0
        (names, count), users = await asyncio.gather(
            self._tracker.members(event.room, most), self._tracker.identified(event.room, most_users)
        )
        answer: dict[str, Any] = {"ok": True, "members": names, "count": count}
        if most_users:
            answer["users"] = [{"user": one.user, "username": one.username} for one in users]
        session.acknowledge(ack, answer)
