"""One client in `/`: which rooms it is in, and how it is answered.

Owns the session's memberships and the form of acknowledgements and errors. Whatever a client sends ends in an
answer, never in an exception that leaves its connection.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from gateway.metrics import refusals
from gateway.protocol import Refusal, acknowledgement_packet, event_packet
from gateway.rooms.member import Member
from gateway.rooms.room import Room
from gateway.transport.socket import EngineSocket

EventHandler = Callable[["Session", Any, list[Any], int | None], Awaitable[None] | None]
"""Handles an event of a session: its name, its arguments, and the number of the acknowledgement asked for."""


class Session:
    """A connected client; the socket's owner."""

    __slots__ = ("_handle", "is_over", "rooms", "sid", "socket")

    def __init__(self, handle: EventHandler, sid: str, socket: EngineSocket) -> None:
        self._handle = handle
        self.sid = sid
        self.socket = socket
        self.rooms: dict[str, Member[Room]] = {}
        self.is_over = False

    def on_event(self, name: Any, arguments: list[Any], ack: int | None) -> Awaitable[None] | None:
        return self._handle(self, name, arguments, ack)

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
        if ack is not None:
            self.socket.send_text(acknowledgement_packet(ack, orjson.dumps(answer)))

    def refuse(self, refusal: Refusal, ack: int | None, **about: Any) -> None:
        """Sends the `error` event, and the acknowledgement if one was asked for; `about` is what is known."""
        refusals.add(1)
        packets = [event_packet("error", orjson.dumps(refusal.as_error(**about)))]
        if ack is not None:
            packets.append(acknowledgement_packet(ack, orjson.dumps(refusal.as_acknowledgement())))
        self.socket.send_texts(packets)
