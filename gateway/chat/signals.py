"""Signals: somebody is typing, and the like.

Owns who may signal where, and the form of the event. A signal is told at most once, to all others who are in the room
at that moment; nothing of it is stored. One that comes too fast, goes to a room that is too large for notices, or finds
no Redis, is dropped and counted: the client is not told by an error, only by the acknowledgement if it asked for one.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable

import orjson

from gateway.access.connection_limits import ConnectionLimits
from gateway.access.rights import SIGNAL
from gateway.chat.moderated_rooms import ModeratedRooms
from gateway.chat.not_allowed import not_allowed
from gateway.chat.room_sizes import RoomSizes
from gateway.chat.session import Session
from gateway.errors import Moderated, StoreError
from gateway.interfaces import CommandStore
from gateway.metrics import signals
from gateway.protocol import Refusal
from gateway.rooms.publisher import Publisher
from gateway.talk_events import Signal


class Signals:
    """Passes signals of clients on to their rooms."""

    def __init__(
        self,
        publisher: Publisher,
        store: CommandStore,
        sizes: RoomSizes,
        limits: ConnectionLimits,
        users_max: int,
        moderated: ModeratedRooms,
    ) -> None:
        self._publisher = publisher  # tells the rooms
        self._store = store  # whether Redis is there
        self._sizes = sizes  # how many users rooms have
        self._limits = limits  # how often a connection may
        self._users_max = users_max  # rooms with more are not told
        self._moderated = moderated  # who is muted

    def signal(self, session: Session, event: Signal, ack: int | None) -> Awaitable[None] | None:
        """A client signals. Raises Refusal."""
        if session.usage is not None and not self._limits.has_signal(session.usage, time.monotonic()):
            _done(session, ack, "rate_limited")
            return None
        self._check(session, event.room)
        users = self._sizes.known(event.room)
        if users is None:
            return self._when_counted(session, event, ack)
        _done(session, ack, self._tell(session, event, users))
        return None

    def _check(self, session: Session, room: str) -> None:
        """Raises Refusal for who may not signal there."""
        member = session.rooms.get(room)
        if member is None:
            raise Refusal("not_joined")
        if not member.rights & SIGNAL:
            raise Refusal("forbidden", operation="signal")
        until_ms = self._moderated.muted_until(room, session.identity, member.username)
        if until_ms is not None:
            raise not_allowed(Moderated("muted", until_ms), "signal")

    async def _when_counted(self, session: Session, event: Signal, ack: int | None) -> None:
        """Nobody has counted the room's users lately: the signal waits for that."""
        try:
            users = await self._sizes.count(event.room)
        except StoreError:
            _done(session, ack, "unavailable")
            return
        if event.room in session.rooms:
            _done(session, ack, self._tell(session, event, users))
        else:  # it was taken out meanwhile
            session.refuse(Refusal("not_joined"), ack, event="signal", room=event.room)

    def _tell(self, session: Session, event: Signal, users: int) -> str:
        """What became of the signal, as the metric calls it."""
        if users > self._users_max:
            return "too_many_users"
        if not self._store.is_up:
            return "unavailable"
        data = signal_json(event, session.rooms[event.room].username, session.identity.user)
        self._publisher.tell(event.room, "signal", data, session.sid)
        return "told"


def _done(session: Session, ack: int | None, result: str) -> None:
    signals.because(result)
    session.acknowledge(ack, {"ok": True} if result == "told" else {"ok": True, "dropped": result})


def signal_json(event: Signal, username: str, user: str) -> bytes:
    """The data of the event, as the room is told it. `user` is empty for a guest."""
    about = {"room": event.room, "kind": event.kind, "username": username}
    if user:
        about["user"] = user
    told = orjson.dumps(about)
    return b'%b,"data":%b}' % (told[:-1], event.data) if event.data else told
