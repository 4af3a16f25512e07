"""What each event does.

Owns the five events of the wire contract. Promises that one client's events are handled in the order they were
sent, that each is answered, and that whatever goes wrong is an `error` with a code from the table.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Coroutine
from typing import Any

import structlog

from gateway.admission import AdmissionControl
from gateway.chat.joining import Joining
from gateway.chat.presence_tracker import PresenceTracker
from gateway.chat.session import Session
from gateway.errors import StoreError, StoreUnavailable
from gateway.protocol import (
    EVENTS,
    History,
    Join,
    Leave,
    Members,
    Position,
    Refusal,
    Send,
    acknowledgement_packet,
    entry,
    parse,
    receive_json,
)
from gateway.rooms.hub import Hub
from gateway.rooms.member import Member
from gateway.rooms.publisher import Publisher
from gateway.rooms.room import Room
from gateway.settings import Sizes
from gateway.state.history import Histories
from gateway.transport.socket import EngineSocket

log = structlog.get_logger("gateway.chat")

MEMBERS_MAX = 200
"""Names that `members` lists at most (DESIGN section 3)."""


class Chat:
    """The chat of one worker."""

    def __init__(
        self,
        hub: Hub,
        publisher: Publisher,
        tracker: PresenceTracker,
        histories: Histories,
        sizes: Sizes,
        rooms_max: int,
        limit_s: float,
        admission: AdmissionControl | None = None,
    ) -> None:
        """`rooms_max` is per connection; `limit_s` is the longest that an event may wait for the store; joins keep
        to the `pace`."""
        self._hub = hub
        self._publisher = publisher
        self._tracker = tracker
        self._histories = histories
        self._sizes = sizes
        self._rooms_max = rooms_max
        self._limit_s = limit_s
        self._admission = admission or AdmissionControl()
        self.sessions: dict[str, Session] = {}

    def open(self, sid: str, socket: EngineSocket) -> Session:
        """A client connected."""
        session = self.sessions[sid] = Session(self.on_event, sid, socket)
        socket.events = session
        return session

    def close(self, sid: str, reason: str) -> None:
        """A client is gone: it stays a member for the grace period."""
        session = self.sessions.pop(sid, None)
        if session is None:
            return
        session.is_over = True
        session.socket.events = None
        for room, member in session.rooms.items():
            member.room.remove(member)
            self._tracker.drop(room, sid, member.username)
            self._hub.release(member.room)
            log.info("member_disconnected", session=sid, room=room, user=member.username, reason=reason)

    def is_in(self, room: str, sid: str) -> bool:
        """Whether a session of this worker is in a room."""
        session = self.sessions.get(sid)
        return session is not None and room in session.rooms

    def everyone(self) -> list[tuple[str, str, str]]:
        """(room, session, username) of every membership on this worker."""
        return [
            (room, one.sid, member.username)
            for one in self.sessions.values()
            for room, member in one.rooms.items()
        ]

    # -- events

    def on_event(
        self, session: Session, name: Any, arguments: list[Any], ack: int | None
    ) -> Awaitable[None] | None:
        """Handles an event; what it returns must end before the same client's next event."""
        try:
            event = parse(name, arguments, self._sizes)
            if type(event) is Send:
                self._send(session, event, ack)
                return None
            return self._guarded(session, str(name), event, ack)
        except Refusal as refusal:
            session.refuse(refusal, ack, **_known(name, arguments))
        return None

    async def _guarded(self, session: Session, name: str, event: Any, ack: int | None) -> None:
        """Runs an event that waits for the store; every failure becomes an answer."""
        room = event.room
        if type(event) is Join and (waits := self._admission.acquire()) is not None:
            await waits
        try:
            try:
                async with asyncio.timeout(self._limit_s):
                    await self._slow(session, event, ack)
            except TimeoutError as error:
                raise StoreUnavailable("the store did not answer in time") from error
        except Refusal as refusal:
            session.refuse(refusal, ack, event=name, room=room)
        except StoreUnavailable:
            session.refuse(Refusal("unavailable"), ack, event=name, room=room)
        except Exception:
            log.exception("event_failed", session=session.sid, event_name=name, room=room)
            session.refuse(Refusal("internal"), ack, event=name, room=room)

    def _slow(self, session: Session, event: Any, ack: int | None) -> Coroutine[Any, Any, None]:
        if type(event) is Join:
            return self._join(session, event, ack)
        if type(event) is Leave:
            return self._leave(session, event, ack)
        if type(event) is Members:
            return self._members(session, event, ack)
        assert type(event) is History
        return self._history(session, event, ack)

    # -- send

    def _send(self, session: Session, event: Send, ack: int | None) -> None:
        member = self._member(session, event.room)
        if event.username is not None and event.username != member.username:
            raise Refusal("forbidden", f"You joined this room as {member.username!r}.")
        stored = entry(event.message, member.username, int(time.time() * 1000))

        def on_result(result: str | StoreError) -> None:
            if isinstance(result, str):
                if ack is not None:
                    answer = b'{"ok":true,"id":"%b"}' % result.encode()
                    session.socket.send_text(acknowledgement_packet(ack, answer))
            else:
                self._not_sent(session, event, ack, result)

        self._publisher.publish(member.room, stored, event.idempotency_key, on_result)

    def _not_sent(self, session: Session, event: Send, ack: int | None, error: StoreError) -> None:
        code = "unavailable" if isinstance(error, StoreUnavailable) else "internal"
        if code == "internal":
            log.error("publish_failed", session=session.sid, room=event.room, reason=str(error))
        session.refuse(
            Refusal(code), ack, event="send", room=event.room, idempotency_key=event.idempotency_key
        )

    # -- join

    async def _join(self, session: Session, event: Join, ack: int | None) -> None:
        name, username = event.room, event.username
        known = session.rooms.get(name)
        if known is not None and known.username != username:
            await self._leave_room(session, known)
            known = None
        if known is None and len(session.rooms) >= self._rooms_max:
            raise Refusal("room_limit", f"A connection may be in {self._rooms_max} rooms.")
        room = self._hub.room(name)
        member = known or Member(room, session.sid, session.socket, username)
        if known is not None:
            room.begin_rejoin(known)
        room.joining += 1
        try:
            change = await Joining(session, member, event, ack).enter(self._hub, self._tracker)
        except BaseException:
            if known is not None and not session.is_over:
                room.abandon_rejoin(known)
            elif known is None:
                self._tracker.drop(name, session.sid, username)
            raise
        finally:
            room.joining -= 1
            self._hub.release(room)
        if known is None and not session.is_over:
            log.info("member_joined", session=session.sid, room=name, user=username, count=change.count)
            self._tracker.announce_joined(name, session.sid, username, change)

    # -- leave, members, history

    async def _leave(self, session: Session, event: Leave, ack: int | None) -> None:
        await self._leave_room(session, self._member(session, event.room))
        session.acknowledge(ack, {"ok": True})

    async def _leave_room(self, session: Session, member: Member[Room]) -> None:
        """Leaves at once for this client; a store that does not take it is told again."""
        room = member.room.name
        del session.rooms[room]
        member.room.remove(member)
        self._hub.release(member.room)
        log.info("member_left", session=session.sid, room=room, user=member.username)
        try:
            await self._tracker.go(room, session.sid, member.username)
        except BaseException:
            self._tracker.drop(room, session.sid, member.username)
            raise

    async def _members(self, session: Session, event: Members, ack: int | None) -> None:
        self._member(session, event.room)
        names, count = await self._tracker.members(event.room, MEMBERS_MAX)
        session.acknowledge(ack, {"ok": True, "members": names, "count": count})

    async def _history(self, session: Session, event: History, ack: int | None) -> None:
        room = self._member(session, event.room).room
        snapshot = await self._histories.snapshot(event.room, room.observed)
        numbered = snapshot.after(0)
        if event.before is not None:
            if event.before.epoch != snapshot.epoch:
                numbered = []
            numbered = [(seq, stored) for seq, stored in numbered if seq < event.before.seq]
        page = [
            receive_json(stored, room.name_json, Position(snapshot.epoch, seq))
            for seq, stored in numbered[-event.limit :]
        ]
        if ack is not None:
            answer = b'{"ok":true,"messages":[%b]}' % b",".join(page)
            session.socket.send_text(acknowledgement_packet(ack, answer))

    @staticmethod
    def _member(session: Session, room: str) -> Member[Room]:
        member = session.rooms.get(room)
        if member is None:
            raise Refusal("not_joined")
        return member


def _known(name: Any, arguments: list[Any]) -> dict[str, Any]:
    """What an `error` may repeat of an event that was refused: only what is short and sound."""
    known: dict[str, Any] = {"event": name if isinstance(name, str) and name in EVENTS else None}
    data = arguments[0] if arguments else None
    if isinstance(data, dict):
        for field in ("room", "idempotency_key"):
            value = data.get(field)
            if isinstance(value, str) and len(value) <= 128 and value.isprintable():
                known[field] = value
    return known
