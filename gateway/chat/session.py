"""One client in `/`: which rooms it is in, and how it is answered.

Owns the session's memberships and the form of acknowledgements and errors. Promises that a refusal reaches the
client as an `error` event, and as the acknowledgement if one was asked for; and that a session which was ended for good
does nothing more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Any, Protocol

import orjson

from gateway.access.connection_limits import NOT_ITS_FAULT, Usage
from gateway.access.identity import Identity
from gateway.access.users import UserUsage
from gateway.chat.session_counts import SessionCounts
from gateway.client_events import Voice
from gateway.interfaces import ClientSocket
from gateway.metrics import refusals
from gateway.protocol import Refusal, acknowledgement_packet, event_packet
from gateway.rooms.member import Member
from gateway.rooms.room import Room

CLOSED_AFTER_S = 1.0
"""From the DISCONNECT, after which stock clients do not come back, to the end of the connection."""

SERVER_DISCONNECT = "server disconnect"
"""Why such a connection ended, in python-engineio's words."""

DISCONNECT = b"41"
"""An Engine.IO text packet: MESSAGE, Socket.IO DISCONNECT of `/`."""


class EventHandler(Protocol):
    """Who handles the events of all sessions (the chat)."""

    def on_event(
        self, session: Session, name: Any, arguments: list[Any], ack: int | None
    ) -> Awaitable[None] | None:
        """Handles an event; `ack` is the number of the acknowledgement asked for, None if none was. What it returns
        must end before the same client's next event."""

    def on_connected(self, session: Session, data: Any) -> Awaitable[None] | None:
        """CONNECT was answered; `data` came with it. What it returns must end before the client's first event."""

    def is_too_often(self, session: Session, code: str) -> bool:
        """An event of the client was refused, and through its own fault; whether it is to be ended for good."""


class Session:
    """A connected client; the listener of its socket (`interfaces.SocketEvents`).

    sid         the session's id
    socket      what is written to
    identity    who the client is
    voice       which events it has, and under which names it may speak
    address     where it comes from, in its usual form; None where nobody who is trusted says it
    rooms       where it is a member, by name
    has_joined  whether it has asked to join some room, whatever came of it
    unanswered  messages that the store has not yet answered
    is_over     whether the connection is gone; joins under way may still end
    usage       what it has used up of its limits; None until its first event
    user_usage  what all connections of its user have used up; None for a guest
    expiry      rings when something is to be said of its token; None without one
    opened_s    when it began (monotonic)
    counts      what it has done, for the line of the log at its end
    """

    __slots__ = (
        "_handler", "address", "counts", "expiry", "has_joined", "identity", "is_over", "opened_s", "rooms", "sid",
        "socket", "unanswered", "usage", "user_usage", "voice",
    )  # fmt: skip

    def __init__(
        self,
        handler: EventHandler,
        sid: str,
        socket: ClientSocket,
        identity: Identity,
        voice: Voice,
        address: str | None = None,
    ) -> None:
        self._handler = handler
        self.sid = sid
        self.socket = socket
        self.identity = identity
        self.voice = voice
        self.address = address
        self.rooms: dict[str, Member[Room]] = {}
        self.has_joined = self.is_over = False
        self.unanswered = 0
        self.usage: Usage | None = None
        self.user_usage: UserUsage | None = None
        self.expiry: asyncio.TimerHandle | None = None
        self.opened_s = time.monotonic()
        self.counts = SessionCounts()

    @property
    def claimant(self) -> str | None:
        """Who takes a name when this session joins: the user's id, empty for a guest; None where tokens do not count,
        and anybody may have any name."""
        return self.identity.user if self.voice.is_checked else None

    @property
    def has_ended(self) -> bool:
        """Whether it was ended for good: nothing of it is handled any more."""
        return self._handler is _ENDED

    def on_connected(self, data: Any) -> Awaitable[None] | None:
        return self._handler.on_connected(self, data)

    def on_event(self, name: Any, arguments: list[Any], ack: int | None) -> Awaitable[None] | None:
        return self._handler.on_event(self, name, arguments, ack)

    def on_behind(self) -> None:
        for member in self.rooms.values():
            member.room.pause(member)

    def on_drained(self) -> None:
        for member in self.rooms.values():
            member.room.resume(member)

    def on_transport_changed(self) -> None:
        for member in self.rooms.values():
            member.room.refresh_targets()

    def acknowledge(self, ack: int | None, answer: dict[str, Any]) -> None:
        """Sends an acknowledgement if one was asked for."""
        self.acknowledge_json(ack, orjson.dumps(answer) if ack is not None else b"")

    def acknowledge_json(self, ack: int | None, answer: bytes) -> None:
        """The same for an answer that is JSON already."""
        if ack is not None:
            self.socket.send_text(acknowledgement_packet(ack, answer))

    def emit(self, name: str, data: dict[str, Any]) -> None:
        """Sends an event to this client alone."""
        self.socket.send_text(event_packet(name, orjson.dumps(data)))

    def refuse(self, refusal: Refusal, ack: int | None, **about: Any) -> None:
        """Sends the `error` event, and the acknowledgement if one was asked for; `about` is what is known."""
        refusals.count(about.get("event") or "other", refusal.code)
        is_too_often = False
        if refusal.code not in NOT_ITS_FAULT:
            self.socket.charge_refusal()
            is_too_often = self._handler.is_too_often(self, refusal.code)
        packets = [_error_packet(refusal, about)]
        if ack is not None:
            packets.append(acknowledgement_packet(ack, orjson.dumps(refusal.as_acknowledgement())))
        self.socket.send_texts(packets)
        if is_too_often:
            self.end_for_good(
                Refusal("rate_limited", "Too much was refused; do not come back.", retryable=False)
            )

    def end_for_good(self, refusal: Refusal) -> None:
        """Tells the client why, and DISCONNECT. Nothing of it is handled any more, and soon it is closed."""
        self._handler = _ENDED
        self.socket.send_texts([_error_packet(refusal, {}), DISCONNECT])
        self.socket.stop_reading()
        asyncio.get_running_loop().call_later(CLOSED_AFTER_S, self.socket.end, SERVER_DISCONNECT)

    def tell(self, refusal: Refusal, **about: Any) -> None:
        """Sends the `error` event for what nobody here asked for."""
        self.socket.send_text(_error_packet(refusal, about))


class _Ended:
    """The handler of a session that was ended for good."""

    def on_event(self, session: Session, name: Any, arguments: list[Any], ack: int | None) -> None:
        """Ignores what was sent before the client could hear of its end."""

    def on_connected(self, session: Session, data: Any) -> None:
        """It was connected before."""

    def is_too_often(self, session: Session, code: str) -> bool:
        return False


_ENDED = _Ended()


def _error_packet(refusal: Refusal, about: dict[str, Any]) -> bytes:
    return event_packet("error", orjson.dumps(refusal.as_error(**about)))
