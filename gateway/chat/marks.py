"""What was read: marks, and the number of unread messages.

Owns who may mark and ask. Both need the right to join a room, and no membership: a page shows numbers beside rooms that
it has not opened. A room that its client may not join answers the same whether it exists or not. Marks belong to users
with a token; guests, who have no id, keep their own position.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson
import structlog

from gateway.access.connection_limits import ConnectionLimits
from gateway.access.permissions import Permissions
from gateway.access.rights import JOIN
from gateway.chat.memberships import Memberships
from gateway.chat.room_sizes import RoomSizes
from gateway.chat.session import Session
from gateway.errors import StoreError, StoreUnavailable
from gateway.metrics import read_marks
from gateway.protocol import Refusal
from gateway.rooms.publisher import Publisher
from gateway.state.read_marks import Marking, ReadMarks, RoomRead
from gateway.talk_events import Read, Unread

log = structlog.get_logger("gateway.chat")

RECEIPTS_USERS_MAX = 50
"""Users of a room in which everybody is told what everybody has read: with n users each message makes n marks, and each
of these n events."""

DECIDED_AT_ONCE = 10
"""Rooms of one `unread` about which the application may be asked at one time."""

NOBODY = "Only users with a token have marks: keep the id of the last message yourself."


class Marks:
    """Marks of this worker's clients."""

    def __init__(
        self,
        marks: ReadMarks,
        memberships: Memberships,
        permissions: Permissions,
        sizes: RoomSizes,
        publisher: Publisher,
        limits: ConnectionLimits,
    ) -> None:
        self._marks = marks  # in the store
        self._memberships = memberships  # who may do what
        self._permissions = permissions  # which rooms are told what was read
        self._sizes = sizes  # how many users those have
        self._publisher = publisher  # tells them
        self._limits = limits  # how often the application may be asked for one connection

    async def read(self, session: Session, event: Read, ack: int | None) -> None:
        """A client has read a room up to a message. Raises Refusal or a StoreError."""
        if session.identity.is_guest:
            raise Refusal("unauthorized", NOBODY)
        if not await self._may_join(session, event.room):
            raise Refusal("forbidden", operation="join")
        marking, unread = await self._marks.mark(event.room, session.identity.user, event.id)
        read_marks.because(marking.name.lower())
        answer: dict[str, Any] = {"ok": True, "unread": unread}
        if marking is Marking.TOO_MANY_USERS:
            answer["kept"] = False
        if marking is Marking.STORED:
            await self._tell(session, event)
        session.acknowledge(ack, answer)

    async def _tell(self, session: Session, event: Read) -> None:
        """Tells a small room, where its rule says so, at most once. The mark is stored: a store that is away now is no
        failure."""
        rule = self._permissions.rules.rule(event.room)
        if rule is None or not rule.receipts:
            return
        try:
            users = await self._sizes.count(event.room)
        except StoreError:
            return
        if users > RECEIPTS_USERS_MAX:
            return
        member = session.rooms.get(event.room)
        username = session.identity.name if member is None else member.username
        about = {"room": event.room, "user": session.identity.user, "username": username, "id": str(event.id)}
        known = {name: value for name, value in about.items() if value is not None}
        self._publisher.tell(event.room, "read", orjson.dumps(known), session.sid)

    async def unread(self, session: Session, event: Unread, ack: int | None) -> None:
        """A client asks how much is unread in some rooms. Raises Refusal or a StoreError."""
        refused = await self._refused(session, event.rooms)
        rooms = [room for room in event.rooms if room not in refused]
        found = await self._marks.unread(rooms, session.identity.user)
        answers: dict[str, dict[str, Any]] = {room: {"code": code} for room, code in refused.items()}
        for room, read in zip(rooms, found, strict=True):
            answers[room] = _answer(room, read)
        session.acknowledge(ack, {"ok": True, "rooms": answers})

    async def _refused(self, session: Session, rooms: tuple[str, ...]) -> dict[str, str]:
        """The rooms about which this client is told nothing, and the code that says why."""
        turns, refused = asyncio.Semaphore(DECIDED_AT_ONCE), {}

        async def decide(room: str) -> None:
            async with turns:
                try:
                    if not await self._may_join(session, room):
                        refused[room] = "forbidden"
                except Refusal as refusal:
                    refused[room] = refusal.code

        others = [room for room in rooms if not _is_member(session, room)]
        for room in others:
            if not self._may_be_decided(session, room):
                refused[room] = "rate_limited"
        await asyncio.gather(*(decide(room) for room in others if room not in refused))
        return refused

    def _may_be_decided(self, session: Session, room: str) -> bool:
        """Whether this client has not made the application answer too much already."""
        rule, usage = self._permissions.rules.rule(room), session.usage
        if rule is None or not rule.asks_hook or usage is None:
            return True
        return self._limits.may_ask(usage, time.monotonic())

    async def _may_join(self, session: Session, room: str) -> bool:
        if _is_member(session, room):
            return True
        return bool(await self._memberships.rights(session.identity, room) & JOIN)


def _is_member(session: Session, room: str) -> bool:
    return room in session.rooms


def _answer(room: str, read: RoomRead | StoreError) -> dict[str, Any]:
    """Raises StoreUnavailable; what trying again does not change is told of its room alone."""
    if isinstance(read, StoreUnavailable):
        raise read
    if isinstance(read, StoreError):
        log.error("unread_refused", room=room, reason=str(read))
        return {"code": "internal"}
    return {
        "id": None if read.position is None else str(read.position),
        "read": None if read.mark is None else str(read.mark),
        "unread": read.unread,
    }
