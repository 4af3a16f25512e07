"""One Engine.IO session: what a client is to the engine, over polling or over a WebSocket.

Owns a session's state, what waits to be sent over polling, and the move from polling to a WebSocket. Promises:

- packets leave in the order in which they were sent, over whichever transport;
- whoever listens is told of the end once;
- a session has no task, no queue and no timer of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import structlog

from gateway.interfaces import Engine, SocketEvents
from gateway.metrics import cut_off
from gateway.transport.codec import MalformedPacket, decode_base64, decode_event
from gateway.transport.conduct import CUT_OFF, ODD, REFUSED, Conduct
from gateway.transport.connection import WebSocketConnection
from gateway.transport.library_socket import CLOSE, NOOP, LibrarySocket, Reason, SocketState
from gateway.transport.outbox import Outbox, Packet
from gateway.websocket.close_codes import NORMAL
from gateway.websocket.deflate import WINDOW_BITS
from gateway.websocket.frames import BINARY

log = structlog.get_logger("gateway.transport")

# Read for every packet, and a global name is found faster than a member of an Enum.
_OPENING, _UPGRADING = SocketState.OPENING, SocketState.UPGRADING
_WEBSOCKET, _CLOSED = SocketState.WEBSOCKET, SocketState.CLOSED


class EngineSocket(LibrarySocket):
    """An Engine.IO session, with the surface that python-engineio and python-socketio use."""

    __slots__ = (
        "attachments_of",
        "awaits_pong",
        "beat",
        "body_deadline",
        "conduct",
        "connects",
        "deadline_s",
        "events",
        "is_behind",
        "is_posting",
        "outbox",
        "server",
        "sid",
        "stuck_due_s",
        "websocket",
    )

    def __init__(self, server: Engine, sid: str) -> None:
        # The base class is not initialised on purpose: it would make a queue and a dict for each connection.
        self.server = server
        self.sid = sid
        self.state = _OPENING
        self._session = None
        # The WebSocket that carries the session, or that is about to; None over polling.
        self.websocket: WebSocketConnection | None = None
        # The one listener: who takes the events of `/`, from CONNECT to the end.
        self.events: SocketEvents | None = None
        # What waits for a poll; made for the first packet that waits, as most sessions never poll.
        self.outbox: Outbox | None = None
        self.connects = 0  # how many namespaces the client has entered
        # How many pings the client has answered; a time-out set for an earlier one is void.
        self.beat = 0
        # A ping is unanswered, and when (monotonic) its answer is too late.
        self.awaits_pong = False
        self.deadline_s = 0.0
        # More than the mark is unsent, and when (monotonic) that has lasted too long.
        self.is_behind = False
        self.stuck_due_s = 0.0
        self.is_posting = False  # a POST of the client is being handled
        self.body_deadline: asyncio.Timeout | None = None  # of that POST, while its body is being read
        self.attachments_of: Any = (
            None  # a packet of python-socketio whose binary attachments are still to come
        )
        self.conduct: Conduct | None = None  # what it sent over polling that no honest client sends

    # -- sending

    @property
    def unsent_bytes(self) -> int:
        """How much waits for the client, over whichever transport."""
        return sum(each.unsent_bytes for each in (self.outbox, self.websocket) if each is not None)

    @property
    def direct_write(self) -> Callable[[bytes], None] | None:
        """Writes ready WebSocket frames, until `on_transport_changed`; None where a socket needs frames of its own."""
        websocket = self.websocket if self.state is _WEBSOCKET else None
        return websocket.direct_write if websocket is not None else None

    @property
    def direct_write_deflated(self) -> Callable[[bytes], None] | None:
        """The same for frames that may be compressed, by the window that all messages are compressed with."""
        websocket = self.websocket if self.state is _WEBSOCKET else None
        if websocket is None or websocket.window_bits != WINDOW_BITS:
            return None
        return websocket.send_frames

    def send_text(self, packet: bytes) -> None:
        """Sends one Engine.IO text packet."""
        if self.state is _WEBSOCKET and self.websocket is not None:
            self.websocket.send_text(packet)
        else:
            self._put((packet,), False)

    def send_texts(self, packets: Sequence[bytes]) -> None:
        """Sends Engine.IO text packets, in order, in one write."""
        if self.state is _WEBSOCKET and self.websocket is not None:
            self.websocket.send_texts(packets)
        else:
            self._put(packets, False)

    def send_binary(self, data: bytes) -> None:
        """Sends one binary message."""
        if self.state is _WEBSOCKET and self.websocket is not None:
            self.websocket.send_binary(data)
        else:
            self._put((data,), True)

    def _put(self, packets: Sequence[bytes], is_binary: bool) -> None:
        """Lets packets wait for a poll; ends a session that fetches too little."""
        if self.state is _CLOSED:
            return
        options, outbox = self.server.options, self._opened_outbox()
        for data in packets:
            outbox.add(data, is_binary)
            if outbox.unsent_bytes > options.outbound_max_bytes:
                self.end(Reason.TRANSPORT_ERROR, packet=None)
            elif outbox.unsent_bytes > options.outbound_mark_bytes:
                self.mark_behind()
        outbox.wake()

    def _opened_outbox(self) -> Outbox:
        if self.outbox is None:
            self.outbox = Outbox()
        return self.outbox

    def _wake_poll(self) -> None:
        if self.outbox is not None:
            self.outbox.wake()

    async def wait_for_packets(self) -> None:
        """Returns once a poll has something to fetch, or the session ends or moves to a WebSocket."""
        await self._opened_outbox().wait()

    def take_outbox(self, most: int | None = None) -> list[Packet]:
        """Takes out what waits for a poll, oldest first; when nothing is left, the session is drained."""
        taken = self.outbox.take(most) if self.outbox is not None else []
        if not self.outbox:
            self.mark_drained()
        return taken

    def mark_behind(self) -> None:
        """The unsent bytes are over the mark."""
        if not self.is_behind and self.state is not _CLOSED:
            self.is_behind = True
            self.stuck_due_s = self.server.times.watch_stuck(self)
            if self.events is not None:
                self.events.on_behind()

    def mark_drained(self) -> None:
        """The unsent bytes are few again."""
        if self.is_behind and self.state is not _CLOSED:
            self.is_behind = False
            if self.events is not None:
                self.events.on_drained()

    # -- receiving

    def received(self, opcode: int, data: bytes) -> Coroutine[Any, Any, None] | Awaitable[None] | None:
        """Takes one packet; what it returns must end before the next one is handed in. Raises MalformedPacket."""
        if opcode == BINARY:
            return self.server.message_up(self, data)
        kind = data[:1]
        if kind == b"4":
            return self._message(data)
        if kind == b"3":
            self._pong()
        elif kind == b"1":
            self.end(Reason.CLIENT_DISCONNECT, packet=NOOP)
        elif kind == b"b":
            return self.server.message_up(self, decode_base64(data))
        else:
            raise MalformedPacket(f"a client does not send packet {data[:1]!r}")
        return None

    def _message(self, data: bytes) -> Coroutine[Any, Any, None] | Awaitable[None] | None:
        """An event of `/` goes straight to the listener, everything else up through python-socketio."""
        events = self.events
        if events is not None and data[1:2] == b"2" and data[2:3] != b"/":
            if self.attachments_of is not None:
                raise MalformedPacket("an attachment was announced and another packet came")
            name, arguments, ack = decode_event(data)
            return events.on_event(name, arguments, ack)
        try:
            text = data[1:].decode()
        except UnicodeDecodeError as error:
            raise MalformedPacket("not UTF-8") from error
        return self.server.message_up(self, text)

    def _pong(self) -> None:
        if self.awaits_pong:
            self.awaits_pong = False
            self.beat += 1
            self.server.times.answered(self)
        else:
            self.charge(ODD)

    def charge_refusal(self) -> None:
        """An event was refused, and through the client's own fault."""
        self.charge(REFUSED)

    def charge(self, points: int) -> None:
        """The client sent something that costs it points; with too many of them the session is ended."""
        if self.websocket is not None:
            self.websocket.charge(points)
            return
        now_s = time.monotonic()
        if self.conduct is None:
            self.conduct = Conduct(now_s)
        if self.conduct.charge(points, now_s) and self.state is not _CLOSED:
            cut_off.add(1)
            log.warning("connection_cut_off", reason=CUT_OFF)
            self.end(Reason.TRANSPORT_ERROR)

    def is_overdue(self) -> bool:
        """Whether a pong is late at this moment, even if its time-out has not been handled yet."""
        return self.awaits_pong and time.monotonic() >= self.deadline_s

    def stop_reading(self) -> None:
        """Takes nothing more from the client; what is under way is still answered."""
        if self.websocket is not None:
            self.websocket.stop_reading()

    # -- from one state to the next

    def open_over_polling(self) -> None:
        """The handshake was a poll."""
        self.state = SocketState.POLLING

    def open_over_websocket(self, websocket: WebSocketConnection) -> None:
        """The handshake was a WebSocket's: it carries the session from now on."""
        self.websocket, self.state = websocket, SocketState.WEBSOCKET
        websocket.opened()

    def begin_upgrade(self) -> None:
        """The probe came: no packets leave over polling from now on, and a waiting poll ends."""
        self.state = SocketState.UPGRADING
        self._wake_poll()

    def fail_upgrade(self) -> None:
        """The WebSocket went away before the upgrade: polling goes on."""
        self.websocket = None
        if self.state is _UPGRADING:
            self.state = SocketState.POLLING
        if self.outbox:
            self._wake_poll()

    def finish_upgrade(self) -> None:
        """Everything leaves over the WebSocket from now on, first what waited."""
        assert self.websocket is not None
        self.state = SocketState.WEBSOCKET
        self.websocket.opened()
        self._wake_poll()
        for data, is_binary in self.take_outbox():
            if is_binary:
                self.send_binary(data)
            else:
                self.send_text(data)
        self.outbox = None
        if self.events is not None:
            self.events.on_transport_changed()

    def end(self, reason: str, packet: bytes | None = CLOSE, code: int = NORMAL) -> None:
        """Ends the session: over polling after `packet`, over a WebSocket with the close code; whoever listens is told
        the reason."""
        if self.state is _CLOSED:
            return
        is_polling = self.state is not _WEBSOCKET
        self.state = SocketState.CLOSED
        self.attachments_of = None
        if self.body_deadline is not None and not self.body_deadline.expired():
            self.body_deadline.reschedule(asyncio.get_running_loop().time())
        if is_polling:
            if packet is not None:
                self._opened_outbox().add(packet)
            self._wake_poll()
        if self.websocket is not None:
            self.websocket.close(code, None)
        if self.events is not None:
            self.events.on_transport_changed()  # nothing may be written after the close frame
        self.server.ended(self, reason)
