"""The WebSocket under a session: a protocol without task, queue or timer.

Owns one TCP connection after the WebSocket handshake: frames in, frames out, flow control, the closing handshake.
Promises:
- messages are handed up in order; while a handler needs time, the next one waits and nothing more is read;
- what one read brings beyond a few messages is handled in turns with other connections, and answered in one write;
- nothing is handled after it was cut, and one that sends what no honest client sends is ended;
- whatever a client sends ends at most this connection.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any, Final

import structlog

from gateway.interfaces import WebSocketEvents
from gateway.metrics import cut_off, frames_read
from gateway.transport.codec import MalformedPacket, PacketTooLarge
from gateway.transport.conduct import CUT_OFF, ODD, Conduct
from gateway.transport.frame_writer import ConnectionState, FrameWriter
from gateway.transport.turns import (
    AT_ONCE,
    AT_ONCE_BYTES,
    TURN_BYTES,
    TURN_MESSAGES,
    TURN_S,
    Intake,
    Turns,
    Work,
)
from gateway.websocket.close_codes import (
    INTERNAL_ERROR,
    NO_CODE,
    NORMAL,
    POLICY,
    PROTOCOL_ERROR,
    TOO_BIG,
    FrameError,
    parse_close,
)
from gateway.websocket.deflate import Deflate
from gateway.websocket.frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    FrameParser,
    close_frame,
    frame,
    text_frame,
)

log = structlog.get_logger("gateway.transport")

Message = tuple[int, bytes]

# Read for every message, and a global name is found faster than a member of an Enum.
_CLOSING: Final = ConnectionState.CLOSING
_READY: Final = Intake.READY
_QUEUED: Final = Intake.QUEUED
_BUSY: Final = Intake.BUSY
_OVER: Final = Intake.OVER


class WebSocketConnection(FrameWriter):
    """One WebSocket connection: the reading half, and its end."""

    __slots__ = (
        "_at_once_bytes", "_backlog", "_conduct", "_intake", "_is_stopped", "_parser", "_turns", "_work",
    )  # fmt: skip

    def __init__(
        self,
        listener: WebSocketEvents[WebSocketConnection],
        parser: FrameParser,
        deflate: Deflate | None,
        outbound_max_bytes: int,
        turns: Turns,
    ) -> None:
        """`deflate` is the compression that was agreed on; with more than `outbound_max_bytes` unsent the connection
        is aborted; `turns` are the worker's."""
        super().__init__(listener, deflate, outbound_max_bytes)
        self._parser = parser
        self._turns = turns
        self._intake = _READY
        # Messages that were read and wait, in order; what was not even read is the parser's.
        self._backlog: Sequence[Message] = ()
        self._at_once_bytes = AT_ONCE_BYTES  # a longer read waits for a turn; 0 while everything does
        self._work: Work | None = None  # what its turns took lately; None until it needs one
        self._is_stopped = False  # `stop_reading` was called
        self._conduct: Conduct | None = None  # what it sent that no honest client sends

    def start(self, tail: bytes) -> None:
        """Begins to read, with what had arrived before the connection was hijacked."""
        if tail:
            self.data_received(tail)
        if self._intake is _READY:
            self._resume_reading()

    # -- receiving

    def data_received(self, data: bytes) -> None:
        """Called by the event loop with what has arrived: a few messages are handled at once, more wait for a turn."""
        parser = self._parser
        if self._intake is not _READY or len(data) > self._at_once_bytes:
            parser.keep(data)
            if self._intake is _BUSY:
                self._pause_reading()
            self._go_on()
            return
        try:
            messages = parser.feed(data, AT_ONCE, AT_ONCE_BYTES)
        except FrameError as wrong:
            parser.rest = (b"", 0)  # it is asked again, and tells the error, when these are handled
            messages = wrong.messages
        frames_read.value += len(messages)
        if parser.rest is not None or (self._deflate is not None and messages and _are_long(messages)):
            self._backlog = messages
            self._queue()
        elif len(messages) == 1 and not parser.oddity:
            self._handle(messages)
        elif messages or parser.oddity:
            self._handle_together(messages)

    def _queue(self) -> None:
        """Waits for a turn, and reads nothing more until everything that came was handled."""
        self._intake = _QUEUED
        self._pause_reading()
        if self._conduct is not None:
            self._conduct.wait(time.monotonic())
        is_slow = not self._at_once_bytes or (self._work is not None and self._work.is_much)
        self._turns.queue(self._turn, is_slow)

    def _turn(self) -> None:
        if self._intake is _QUEUED:
            self._intake = _READY
            if self._is_stopped and self._state is not _CLOSING:
                return
            begun_s, now_s = time.thread_time(), time.monotonic()
            if self._conduct is not None:
                self._conduct.waited(now_s)
            messages, self._backlog = self._backlog, ()
            self._handle_together(messages or self._read_on(), now_s + TURN_S)
            self._work = self._work or Work()
            self._work.add(time.thread_time() - begun_s, now_s)
            self._go_on()

    def _read_on(self) -> Sequence[Message]:
        """What is still to be read of what came: as much as a turn holds."""
        try:
            messages = self._parser.feed(b"", TURN_MESSAGES, TURN_BYTES)
        except FrameError as wrong:
            messages = wrong.messages
            if not messages:
                self.close(wrong.code, None, wrong.reason)
            self._parser.rest = (b"", 0) if messages else None
        frames_read.add(len(messages))
        return messages

    def _go_on(self) -> None:
        """After a turn, or after a handler: what waits gets a turn; without that, reading goes on."""
        if self._intake is not _READY or self.transport is None or self.transport.is_closing():
            return
        if self._is_stopped and self._state is not _CLOSING:
            return
        if self._backlog or self._parser.rest is not None:
            self._queue()
        else:
            self._resume_reading()

    def _resume_reading(self) -> None:
        if self._conduct is not None and not self._is_stopped:
            self._at_once_bytes = 0 if self._conduct.is_bad(time.monotonic()) else AT_ONCE_BYTES
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def _handle_together(self, messages: Sequence[Message], until_s: float | None = None) -> None:
        """Handles messages; what is sent meanwhile leaves in one write."""
        if oddity := self._parser.take_oddity():
            self.charge(ODD * oddity)
        self.hold()
        self._handle(messages, until_s)
        self.release()

    def _handle(self, messages: Sequence[Message], until_s: float | None = None) -> None:
        """Handles messages until one needs time, or it is late, or nothing more is taken."""
        for place, (opcode, data) in enumerate(messages, 1):
            if self._state is _CLOSING and (opcode != CLOSE or self._intake is _OVER):
                continue
            if opcode in (TEXT, BINARY):
                waits = self._hand_up(opcode, data)
                if waits is not None:
                    self._wait(waits, messages[place:])
                    return
            elif opcode == CLOSE:
                self._peer_closed(data)
                return
            else:
                if opcode == PING:
                    self._write(frame(PONG, data))
                self.charge(ODD)
            if until_s is not None and place < len(messages) and time.monotonic() > until_s:
                self._backlog = messages[place:]
                return

    def _hand_up(self, opcode: int, data: bytes) -> Awaitable[None] | Coroutine[Any, Any, None] | None:
        try:
            return self._listener.on_message(self, opcode, data)
        except Exception as error:
            self._close_for(error)
        return None

    def charge(self, points: int) -> None:
        """The client sent something that costs it points; with too many of them the connection is ended."""
        now_s = time.monotonic()
        if self._conduct is None:
            self._conduct = Conduct(now_s)
        if self._conduct.is_bad(now_s):
            self._at_once_bytes = 0
        if self._conduct.charge(points, now_s) and self._state is not _CLOSING:
            cut_off.add(1)
            log.warning("connection_cut_off", reason=CUT_OFF)
            self.close(POLICY, None, CUT_OFF)
            self._intake, self._backlog, self._parser.rest = _OVER, (), None
            self._pause_reading()  # nothing more of it costs anything until it is aborted

    def _close_for(self, error: BaseException) -> None:
        """A handler failed: the connection ends, and says whose fault it was."""
        if isinstance(error, MalformedPacket):
            log.debug("packet_malformed", reason=str(error))
            self.close(TOO_BIG if isinstance(error, PacketTooLarge) else PROTOCOL_ERROR, None)
        else:
            log.error("event_failed", exc_info=error)
            self.close(INTERNAL_ERROR, None)

    def _wait(self, waits: Awaitable[None], rest: Sequence[Message]) -> None:
        """Handles nothing more until the handler is done: the client's events stay in order. Reading is paused once one
        waits, as most clients send nothing meanwhile."""
        self._intake, self._backlog = _BUSY, rest
        if rest or self._parser.rest is not None:
            self._pause_reading()
        asyncio.ensure_future(waits).add_done_callback(self._resume)

    def _resume(self, done: asyncio.Future[None]) -> None:
        if self._intake is _BUSY:
            self._intake = _READY
        if not done.cancelled() and (error := done.exception()) is not None:
            self._close_for(error)
        self._go_on()

    # -- the end

    def stop_reading(self) -> None:
        """Takes nothing more from the peer but, once closed, its close frame; stays open for writing."""
        self._is_stopped, self._at_once_bytes = True, 0
        self._pause_reading()

    def close(self, code: int, packet: bytes | None, reason: str = "") -> None:
        """Begins the closing handshake, after one last text packet if there is one."""
        if self._state is _CLOSING or self.transport is None:
            return
        self.release()
        last = text_frame(packet) if packet is not None else b""
        self.transport.write(last + close_frame(code, reason))
        self.close_code = code
        self._stop_writing()
        if self._is_stopped:
            self._go_on()
        self._listener.on_close_sent(self)

    def _peer_closed(self, payload: bytes) -> None:
        if self.transport is None:
            return
        if self._state is not _CLOSING:
            code = self.close_code = parse_close(payload)[0]
            self.release()
            self.transport.write(close_frame(NORMAL if code == NO_CODE else code))
        self._stop_writing()
        self.transport.close()

    def eof_received(self) -> None:
        """The peer is done: the transport closes."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_writing()
        self.transport = None
        self._backlog = ()
        self._parser.forget()  # time-outs may still know the connection
        self._listener.on_lost(self)


def _are_long(messages: Sequence[Message]) -> bool:
    """Whether messages are more than a moment holds, once inflated."""
    return sum(len(data) for _, data in messages) > AT_ONCE_BYTES
