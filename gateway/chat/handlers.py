"""What each event does.

Owns the events of the wire contract. Promises that one client's events are handled in the order in which they
were sent, that each is answered if an answer was asked for, and that whatever goes wrong becomes an `error` with a
code from the table, never an exception that reaches the connection.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any

import structlog

from gateway.access.connection_limits import Usage
from gateway.access.identity import GUEST, Identity
from gateway.access.rights import JUDGED
from gateway.chat.pages import Pages
from gateway.chat.parts import ChatParts
from gateway.chat.refused_events import about, known
from gateway.chat.sending import Sending
from gateway.chat.session import Session
from gateway.chat.talking import Talking
from gateway.client_events import History, Join, Leave, Members, Refresh, Send, parse
from gateway.errors import StoreError, StoreUnavailable
from gateway.interfaces import ClientSocket
from gateway.protocol import Refusal
from gateway.rooms.member import Member, MemberState
from gateway.rooms.room import Room
from gateway.talk_events import Read, Signal, Unread
from gateway.transport.refusals import LineBudget

log = structlog.get_logger("gateway.chat")

CONNECT_JOINS_MAX = 100
"""Rooms that CONNECT may name: as many as a connection may be in by default."""

CONNECT_JOINS_S = 10.0
"""For so long the rooms of one CONNECT are joined. The client's pongs wait meanwhile; it has 20 s for one."""

Handle = Callable[[Session, Any, int | None], Awaitable[None] | None]
"""Handles an event of its type, for a session, with the number of the acknowledgement that was asked for."""

Wait = Callable[[Session, Any, int | None], Coroutine[Any, Any, None]]
"""The same for an event that waits for the store."""


class Chat:
    """The chat of one worker."""

    def __init__(self, parts: ChatParts) -> None:
        self.permissions, self.sessions, self.identities = parts.permissions, parts.sessions, parts.identities
        self.memberships = parts.memberships
        self._hub, self._tracker, self._admission = parts.hub, parts.tracker, parts.admission
        self._sizes, self._limits, self._limit_s = parts.sizes, parts.limits, parts.limit_s
        self._judging = parts.talk.judging
        self._sending = Sending(
            parts.hub, parts.publisher, parts.tracker, parts.memberships, parts.talk.judging
        )
        self._lines = LineBudget()  # of the log, for those that are ended
        talking = Talking(
            parts.talk, parts.publisher, parts.tracker, parts.memberships, parts.permissions, parts.limits
        )
        self._handles: dict[type, Handle] = {
            Send: self._send,
            Join: self._join_in_turn,
            Leave: partial(self._answered, "leave", self._leave),
            Members: partial(self._answered, "members", talking.members),
            History: partial(self._answered, "history", Pages(parts.histories).history),
            Refresh: partial(self._answered, "refresh", self._refresh),
            Signal: talking.signals.signal,
            Read: partial(self._answered, "read", talking.marks.read),
            Unread: partial(self._answered, "unread", talking.marks.unread),
        }

    async def close_hooks(self) -> None:
        """Gives up what is being asked of the application."""
        await self.permissions.close()
        await self._judging.close()

    def handle(self, kind: type, name: str, wait: Wait) -> None:
        """Events of this type are handled so, too."""
        self._handles[kind] = partial(self._answered, name, wait)

    # -- connections

    def open(
        self, sid: str, socket: ClientSocket, identity: Identity = GUEST, address: str | None = None
    ) -> Session:
        """A client connected."""
        session = Session(self, sid, socket, identity, self.identities.voice(identity), address)
        self.sessions.add(session)
        socket.events = session
        return session

    def close(self, sid: str, reason: str) -> None:
        """A client is gone: it stays a member for the grace period."""
        session = self.sessions.take_out(sid)
        if session is None:
            return
        session.is_over = True
        self.identities.forget(session)
        session.socket.events = None
        for room, member in session.rooms.items():
            member.room.remove(member)
            session.counts.left(member)
            self._tracker.drop(room, sid, member.username)
            self._hub.release(member.room)
            log.info("member_disconnected", session=sid, room=room, user=member.username, reason=reason)

    def on_connected(self, session: Session, data: Any) -> Awaitable[None] | None:
        """CONNECT was answered; the rooms that it names are joined before the client's first event."""
        self.identities.welcome(session)
        joins = data.get("join") if isinstance(data, dict) else None
        return self._join_all(session, joins) if joins is not None else None

    async def _join_all(self, session: Session, joins: Any) -> None:
        """Joins rooms in their order, each answered by `joined` or `error`. A store that is away costs the client the
        time of one event, not of each."""
        if not isinstance(joins, list) or len(joins) > CONNECT_JOINS_MAX:
            sentence = f"'join' in CONNECT must be a list of at most {CONNECT_JOINS_MAX} rooms."
            session.refuse(Refusal("bad_request", sentence), None, event="join")
            return
        until_s = time.monotonic() + CONNECT_JOINS_S
        for data in joins:
            if session.is_over:
                return
            try:
                if time.monotonic() > until_s:
                    raise Refusal("unavailable")
                event = parse("join", [data], self._sizes, session.voice)
                assert isinstance(event, Join)
                await self._join_in_turn(session, replace(event, is_from_connect=True), None)
            except Refusal as refusal:
                session.refuse(refusal, None, **known("join", [data]))

    # -- events

    def on_event(
        self, session: Session, name: Any, arguments: list[Any], ack: int | None
    ) -> Awaitable[None] | None:
        """Handles an event; what it returns must end before the same client's next event."""
        usage = session.usage
        if usage is None:
            usage = session.usage = Usage(session.user_usage)
        try:
            event = parse(name, arguments, self._sizes, session.voice)
            self._limits.spend(usage, event, time.monotonic())
            return self._handles[type(event)](session, event, ack)
        except Refusal as refusal:
            session.refuse(refusal, ack, **known(name, arguments))
        return None

    def is_too_often(self, session: Session, code: str) -> bool:
        """An event was refused, and through the client's fault: whether to end it for good."""
        usage, now_s = session.usage, time.monotonic()
        if usage is None or not self._limits.charge(usage, code, session.has_joined, now_s):
            return False
        if (line := self._lines.take(now_s)) is not None:
            log.warning("session_ended_for_good", session=session.sid, last_refusal=code, **line)
        return True

    async def _answered(self, name: str, wait: Wait, session: Session, event: Any, ack: int | None) -> None:
        """Handles an event that waits for the store; every failure becomes an answer."""
        try:
            async with asyncio.timeout(self._limit_s):
                await wait(session, event, ack)
        except Refusal as refusal:
            session.refuse(refusal, ack, event=name, **about(event))
        except (StoreUnavailable, TimeoutError):
            session.refuse(Refusal("unavailable"), ack, event=name, **about(event))
        except StoreError as error:  # one that trying again does not change: a key of another type, say
            log.error("event_refused", event_name=name, reason=str(error), **about(event))
            session.refuse(Refusal("internal"), ack, event=name, **about(event))
        except Exception:
            log.exception("event_failed", session=session.sid, event_name=name, **about(event))
            session.refuse(Refusal("internal"), ack, event=name, **about(event))

    # -- send

    def _send(self, session: Session, event: Send, ack: int | None) -> Awaitable[None] | None:
        member = session.rooms.get(event.room)
        if member is not None:
            if member.rights & JUDGED:
                return self._answered("send", self._sending.judged, session, event, ack)
            self._sending.as_member(session, member, event, ack)
            return None
        if session.has_joined:
            raise Refusal("not_joined")
        return self._answered("send", self._sending.on_the_way_back, session, event, ack)

    # -- join

    async def _join_in_turn(self, session: Session, event: Join, ack: int | None) -> None:
        """A storm of joins waits here, so that members are served in between, and so does who joins too fast; the time
        limit begins afterwards."""
        session.has_joined = True
        try:
            await self._limits.join_slowly(session.usage, time.monotonic())
        except Refusal as refusal:
            session.refuse(refusal, ack, event="join", **about(event))
            return
        if (turn := self._admission.acquire()) is not None:
            await turn
        await self._answered("join", self.memberships.join, session, event, ack)

    # -- refresh

    async def _refresh(self, session: Session, event: Refresh, ack: int | None) -> None:
        expires_at = await self.identities.refresh(session, event)
        await self.memberships.reconsider(session)
        session.acknowledge(ack, {"ok": True, "expires_at": expires_at})

    # -- leave

    async def _leave(self, session: Session, event: Leave, ack: int | None) -> None:
        await self.memberships.leave(session, _member(session, event.room))
        session.acknowledge(ack, {"ok": True})

    async def take_out(self, sid: str, room: str) -> None:
        """Another process takes a session out of a room: it leaves as if it had asked to, and is told. A session that
        joins the room again at this moment stays: that came later."""
        session = self.sessions.get(sid)
        member = session.rooms.get(room) if session is not None else None
        if session is None or member is None or member.state is MemberState.REJOINING:
            return
        session.tell(Refusal("not_joined", "You were taken out of this room."), room=room)
        try:
            async with asyncio.timeout(self._limit_s):
                await self.memberships.leave(session, member)
        except (StoreError, TimeoutError) as error:  # the store is told again after the grace period
            log.warning("leave_not_stored", session=sid, room=room, reason=str(error) or "no answer in time")


def _member(session: Session, room: str) -> Member[Room]:
    member = session.rooms.get(room)
    if member is None:
        raise Refusal("not_joined")
    return member
