"""One Engine.IO session: what a client is to the engine, over polling or WebSocket.

Owns a session's state, what waits to be sent over polling, and the hand over from polling to WebSocket. Promises
that packets leave in the order in which they were sent, over whichever transport, and that the owner hears of the
end once. Has no task, no queue and no timer of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from engineio import AsyncServer
from engineio.async_socket import AsyncSocket

from gateway.interfaces import SocketEvents
from gateway.transport.codec import MalformedPacket, decode_event, decode_payload, encode_payload
from gateway.transport.connection import WebSocketConnection
from gateway.transport.options import Engine
from gateway.websocket.deflate import WINDOW_BITS
from gateway.websocket.frames import BINARY

Reason = AsyncServer.reason

CLOSE, PING, NOOP = b"1", b"2", b"6"
POLLED_MOST = 16
"""Packets in one polling response: python-engineio's clients refuse more (`max_decode_packets` of its payload.py)."""


class EngineSocket(AsyncSocket):  # type: ignore[misc]
    """An Engine.IO session, with the surface that python-engineio and python-socketio use."""

    __slots__ = (
        "_outbox_bytes",
        "_session",
        "awaits_pong",
        "beat",
        "closed",
        "closing",
        "connected",
        "connects",
        "deadline_s",
        "events",
        "is_behind",
        "is_posting",
        "outbox",
        "poller",
        "server",
        "sid",
        "stuck_due_s",
        "upgraded",
        "upgrading",
        "websocket",
    )

    def __init__(self, server: Engine, sid: str) -> None:
        # The base class is not initialised on purpose: it would make a queue and a dict for each connection.
        self.server = server
        self.sid = sid
        self.websocket: WebSocketConnection | None = None
        self.events: SocketEvents | None = None
        self.outbox: list[tuple[bytes, bool]] | None = None
        self.poller: asyncio.Future[None] | None = None
        self.connects = 0
        self.beat = 0
        self.deadline_s = self.stuck_due_s = 0.0
        self._outbox_bytes = 0
        self._session: dict[str, Any] | None = None
        self.connected = True
        self.awaits_pong = self.closed = self.closing = self.is_behind = False
        self.is_posting = self.upgraded = self.upgrading = False

    @property
    def session(self) -> dict[str, Any]:
        """python-socketio's per-client dictionary, made when it is first asked for."""
        if self._session is None:
            self._session = {}
        return self._session

    @session.setter
    def session(self, value: dict[str, Any]) -> None:
        self._session = value

    # -- sending

    @property
    def direct_write(self) -> Callable[[bytes], None] | None:
        """Writes ready WebSocket frames for as long as the present carrier lasts; None where frames need making."""
        websocket = self.websocket if self.upgraded else None
        return websocket.direct_write if websocket is not None else None

    def send_texts(self, packets: Sequence[bytes]) -> None:
        """Sends Engine.IO text packets, in order, in one write."""
        if self.closed:
            return
        if self.upgraded and self.websocket is not None:
            self.websocket.send_texts(packets)
            return
        for packet in packets:
            self._post(packet, False)
        self._wake_poller()

    def send_text(self, packet: bytes) -> None:
        """Sends one Engine.IO text packet."""
        if self.upgraded and self.websocket is not None and not self.closed:
            self.websocket.send_text(packet)
        else:
            self.send_texts((packet,))

    def send_binary(self, data: bytes) -> None:
        """Sends one binary message."""
        if self.closed:
            return
        if self.upgraded and self.websocket is not None:
            self.websocket.send_binary(data)
        else:
            self._post(data, True)
            self._wake_poller()

    async def send(self, pkt: Any) -> None:
        """What python-socketio sends arrives here, as a python-engineio packet."""
        encoded = pkt.encode()
        if isinstance(encoded, str):
            self.send_text(encoded.encode())
        else:
            self.send_binary(bytes(encoded))

    def _post(self, data: bytes, is_binary: bool) -> None:
        if self.outbox is None:
            self.outbox = []
        self.outbox.append((data, is_binary))
        self._outbox_bytes += len(data)
        options = self.server.options
        if self._outbox_bytes > options.outbound_max_bytes:
            self.end(Reason.TRANSPORT_ERROR, packet=None)
        elif self._outbox_bytes > options.outbound_mark_bytes:
            self.mark_behind()

    def _wake_poller(self) -> None:
        if self.poller is not None and not self.poller.done():
            self.poller.set_result(None)

    def mark_behind(self) -> None:
        """The unsent bytes are over the mark."""
        if not self.is_behind and not self.closed:
            self.is_behind = True
            self.stuck_due_s = self.server.times.watch_stuck(self)
            if self.events is not None:
                self.events.on_behind()

    def mark_drained(self) -> None:
        """The unsent bytes are few again."""
        if self.is_behind and not self.closed:
            self.is_behind = False
            if self.events is not None:
                self.events.on_drained()

    def take_outbox(self, most: int | None = None) -> list[tuple[bytes, bool]]:
        """What waits to be sent over polling, oldest first; the owner hears when nothing waits any more."""
        waiting = self.outbox or []
        taken, left = waiting[:most], [] if most is None else waiting[most:]
        self.outbox = left or None
        self._outbox_bytes = sum(len(data) for data, _ in left)
        if not left:
            self.mark_drained()
        return taken

    @property
    def direct_write_deflated(self) -> Callable[[bytes], None] | None:
        """The same for frames that may be compressed, by the window that all messages are compressed with."""
        websocket = self.websocket if self.upgraded else None
        return (
            websocket.send_frames if websocket is not None and websocket.window_bits == WINDOW_BITS else None
        )

    # -- receiving

    def received(self, opcode: int, data: bytes) -> Coroutine[Any, Any, None] | Awaitable[None] | None:
        """Takes one packet; what it returns must end before the next one is handed in. Raises MalformedPacket."""
        if opcode == BINARY:
            return self._up(data)
        kind = data[:1]
        if kind == b"4":
            return self._message(data)
        if kind == b"3":
            self._pong()
        elif kind == b"1":
            self.end(Reason.CLIENT_DISCONNECT, packet=NOOP)
        else:
            raise MalformedPacket(f"a client does not send packet {data[:1]!r}")
        return None

    def _message(self, data: bytes) -> Coroutine[Any, Any, None] | Awaitable[None] | None:
        events = self.events
        if events is not None and data[1:2] == b"2" and data[2:3] != b"/":
            if self.server.expects_attachment(self.sid):
                raise MalformedPacket("an attachment was announced and another packet came")
            name, arguments, ack = decode_event(data)
            return events.on_event(name, arguments, ack)
        try:
            text = data[1:].decode()
        except UnicodeDecodeError as error:
            raise MalformedPacket("not UTF-8") from error
        return self._up(text)

    async def receive(self, pkt: Any) -> None:
        """python-engineio's entrance: a decoded packet goes the same ways as one from the wire."""
        waits = self.received(BINARY if pkt.binary else 1, pkt.data if pkt.binary else pkt.encode().encode())
        if waits is not None:
            await waits

    async def _up(self, data: str | bytes) -> None:
        """The long way, through python-socketio's (or the application's) handler of messages."""
        await self.server.message_up(self, data)

    def _pong(self) -> None:
        if self.awaits_pong:
            self.awaits_pong = False
            self.beat += 1
            self.server.times.schedule_ping(self)

    # -- polling

    async def poll(self) -> bytes:
        """Waits for packets and returns the payload of one polling response."""
        if not self.outbox and not self.closed:
            self.poller = asyncio.get_running_loop().create_future()
            try:
                await self.poller
            finally:
                self.poller = None
        return encode_payload(self.take_outbox(POLLED_MOST))

    async def post(self, body: bytes) -> None:
        """Handles the payload of one polling request, packet by packet. Raises MalformedPacket."""
        for opcode, data in decode_payload(body):
            if self.closed:
                return
            waits = self.received(opcode, data)
            if waits is not None:
                await waits

    # -- moving to WebSocket

    def begin_upgrade(self) -> None:
        """The probe came: no packets leave over polling from now on, and a waiting poll ends."""
        self.upgrading = True
        if self.poller is not None and not self.poller.done():
            self.outbox = [(NOOP, False), *(self.outbox or ())]
            self.poller.set_result(None)

    def fail_upgrade(self) -> None:
        """The WebSocket went away before the upgrade: polling goes on."""
        self.upgrading = False
        self.websocket = None
        if self.outbox:
            self._wake_poller()

    def finish_upgrade(self) -> None:
        """Everything leaves over the WebSocket from now on, first what waited."""
        self.upgrading, self.upgraded = False, True
        assert self.websocket is not None
        self.websocket.opened()
        if self.poller is not None and not self.poller.done():
            self.poller.set_result(None)
        for data, is_binary in self.take_outbox():
            if data is NOOP:
                continue
            if is_binary:
                self.send_binary(data)
            else:
                self.send_text(data)
        if self.events is not None:
            self.events.on_transport_changed()

    # -- the end

    def end(self, reason: str, packet: bytes | None = CLOSE, code: int = 1000) -> None:
        """Ends the session: the transport is closed after `packet`, and whoever listens is told the reason."""
        if self.closed:
            return
        self.closing = self.closed = True
        self.connected = False
        websocket = self.websocket
        if self.upgraded and websocket is not None:
            websocket.close(code, None)
        else:
            if packet is not None:
                self.outbox = [*(self.outbox or ()), (packet, False)]
            self._wake_poller()
            if websocket is not None:
                websocket.close(code, None)
        if self.events is not None:
            self.events.on_transport_changed()  # nothing may be written after the close frame
        self.server.ended(self, reason)

    async def close(self, wait: bool = True, abort: bool = False, reason: str | None = None) -> None:
        """python-engineio's way to end a session."""
        self.end(reason or Reason.SERVER_DISCONNECT, packet=None if abort else CLOSE)

    def stop_reading(self) -> None:
        """Takes nothing more from the client; what is under way is still answered."""
        if self.websocket is not None:
            self.websocket.stop_reading()

    def is_overdue(self) -> bool:
        """Whether a pong is late at this moment, even if the wheel has not come to it."""
        return self.awaits_pong and time.monotonic() >= self.deadline_s

    async def check_ping_timeout(self) -> bool:
        """python-engineio asks this before sending; the wheel does it here."""
        return not self.closed
