"""The WebSocket under a session: a protocol without task, queue or timer.

Owns one TCP connection after the WebSocket handshake: frames in, frames out, flow control, the closing handshake.
Promises that packets are handed up in order, one at a time where the handler needs time, and that whatever a
client sends ends at most this connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol

import structlog

from gateway.transport.codec import MalformedPacket
from gateway.websocket import frames
from gateway.websocket.deflate import COMPRESS_FROM_BYTES, Deflate, compress
from gateway.websocket.frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    FrameError,
    FrameParser,
    close_frame,
    frame,
)

log = structlog.get_logger("gateway.transport")

Message = tuple[int, bytes]


class WebSocketEvents(Protocol):
    """What stands above a carrier."""

    def on_message(self, websocket: WebSocketConnection, opcode: int, data: bytes) -> Awaitable[None] | None:
        """Takes a text or binary message; what it returns must end before the next is handed in."""

    def on_lost(self, websocket: WebSocketConnection) -> None:
        """The connection is gone."""

    def on_behind(self, websocket: WebSocketConnection) -> None:
        """More bytes wait to be sent than the mark."""

    def on_drained(self, websocket: WebSocketConnection) -> None:
        """Few bytes wait to be sent."""

    def linger(self, websocket: WebSocketConnection) -> None:
        """The carrier sent its close frame: `abort` must be called if the peer does not answer soon."""


class WebSocketConnection(asyncio.Protocol):
    """One WebSocket connection."""

    __slots__ = (
        "_backlog",
        "_deflate",
        "_is_busy",
        "_is_closing",
        "_is_open",
        "_is_stopped",
        "_max_bytes",
        "_parser",
        "direct_write",
        "receiver",
        "transport",
    )

    def __init__(
        self, receiver: WebSocketEvents, parser: FrameParser, deflate: Deflate | None, outbound_max_bytes: int
    ) -> None:
        self.receiver = receiver
        self._parser = parser
        self._deflate = deflate
        self._max_bytes = outbound_max_bytes
        self._backlog: list[Message] | None = None
        self._is_busy = self._is_closing = self._is_open = self._is_stopped = False
        self.transport: asyncio.Transport | None = None
        self.direct_write: Callable[[bytes], None] | None = None

    def adopt(self, transport: asyncio.Transport, mark_bytes: int) -> None:
        """Takes over an open transport on which the handshake has been answered."""
        self.transport = transport
        transport.set_write_buffer_limits(high=mark_bytes, low=mark_bytes // 4)

    def start(self, tail: bytes) -> None:
        """Takes what had arrived before the connection changed hands."""
        if tail:
            self.data_received(tail)
        if self.transport is not None and not self._is_busy and not self.transport.is_closing():
            self.transport.resume_reading()

    @property
    def is_settled(self) -> bool:
        """Whether the connection carries a session, or is gone."""
        return self._is_open or self._is_closing

    def opened(self) -> None:
        """From now on frames may be written to this carrier directly."""
        self._is_open = True
        if self.transport is not None and self._deflate is None and not self._is_closing:
            self.direct_write = self.transport.write

    # -- sending

    def send_text(self, packet: bytes) -> None:
        """Sends one text message."""
        self._write(frames.text_frame(packet) if self._deflate is None else self._text(packet))

    def send_texts(self, packets: Sequence[bytes]) -> None:
        """Sends text messages in one write."""
        if self._deflate is None:
            self._write(b"".join(map(frames.text_frame, packets)))
        else:
            self._write(b"".join(map(self._text, packets)))

    def send_binary(self, data: bytes) -> None:
        """Sends one binary message."""
        if self._deflate is not None and len(data) >= COMPRESS_FROM_BYTES:
            self._write(frame(BINARY, compress(data, self._deflate.compress_window_bits), True))
        else:
            self._write(frame(BINARY, data))

    def send_frames(self, data: bytes) -> None:
        """Sends frames that are ready."""
        self._write(data)

    @property
    def window_bits(self) -> int:
        """The compression window that was agreed on; 0 if messages must not be compressed."""
        return self._deflate.compress_window_bits if self._deflate is not None else 0

    def _text(self, packet: bytes) -> bytes:
        if self._deflate is not None and len(packet) >= COMPRESS_FROM_BYTES:
            return frame(TEXT, compress(packet, self._deflate.compress_window_bits), True)
        return frames.text_frame(packet)

    def _write(self, data: bytes) -> None:
        transport = self.transport
        if transport is None or self._is_closing:
            return
        transport.write(data)
        if transport.get_write_buffer_size() > self._max_bytes:
            self.abort()

    # -- receiving

    def data_received(self, data: bytes) -> None:
        """Called by the event loop with what has arrived."""
        error = None
        try:
            messages = self._parser.feed(data)
        except FrameError as wrong:
            messages, error = wrong.messages, wrong
        if self._is_busy or (self._is_stopped and not self._is_closing):
            self._backlog = [*(self._backlog or ()), *messages]
        else:
            self._handle(messages)
        if error is not None:
            self.close(error.code, None, error.reason)

    def _handle(self, messages: Sequence[Message]) -> None:
        for place, (opcode, data) in enumerate(messages):
            if self._is_closing and opcode != CLOSE:
                continue
            if opcode in (TEXT, BINARY):
                waits = self._hand_up(opcode, data)
                if waits is not None:
                    self._wait(waits, messages[place + 1 :])
                    return
            elif opcode == PING:
                self._write(frame(PONG, data))
            elif opcode == CLOSE:
                self._peer_closed(data)
                return

    def _hand_up(self, opcode: int, data: bytes) -> Awaitable[None] | Coroutine[Any, Any, None] | None:
        try:
            return self.receiver.on_message(self, opcode, data)
        except MalformedPacket as wrong:
            log.debug("packet_malformed", reason=str(wrong))
            self.close(1002, None)
        except Exception:
            log.exception("event_failed")
            self.close(1011, None)
        return None

    def _wait(self, waits: Awaitable[None], rest: Sequence[Message]) -> None:
        """Reads no further until the handler is done: the client's events stay in order, and in its own buffers."""
        self._is_busy, self._backlog = True, list(rest)
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()
        asyncio.ensure_future(waits).add_done_callback(self._resume)

    def _resume(self, done: asyncio.Future[None]) -> None:
        self._is_busy = False
        if not done.cancelled() and (error := done.exception()) is not None:
            if isinstance(error, MalformedPacket):
                log.debug("packet_malformed", reason=str(error))
                self.close(1002, None)
            else:
                log.error("event_failed", exc_info=error)
                self.close(1011, None)
        if self.transport is None or (self._is_stopped and not self._is_closing):
            return
        backlog, self._backlog = self._backlog, None
        if backlog:
            self._handle(backlog)
        if not self._is_busy and self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    # -- flow control and the end

    def pause_writing(self) -> None:
        self.receiver.on_behind(self)

    def resume_writing(self) -> None:
        self.receiver.on_drained(self)

    def stop_reading(self) -> None:
        """Takes nothing more from the peer but, once closed, its close frame; stays open for writing."""
        self._is_stopped = True
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def close(self, code: int, packet: bytes | None, reason: str = "") -> None:
        """Begins the closing handshake, after one last text packet if there is one."""
        if self._is_closing or self.transport is None:
            return
        last = frames.text_frame(packet) if packet is not None else b""
        self.transport.write(last + close_frame(code, reason))
        self._is_closing, self.direct_write = True, None
        if self._is_stopped and not self._is_busy and not self.transport.is_closing():
            self.transport.resume_reading()
        self.receiver.linger(self)

    def abort(self) -> None:
        """Ends the connection without ceremony."""
        if self.transport is not None:
            self.transport.abort()

    def _peer_closed(self, payload: bytes) -> None:
        if self.transport is None:
            return
        if not self._is_closing:
            code, _ = frames.parse_close(payload)
            self.transport.write(close_frame(1000 if code == 1005 else code))
        self._is_closing, self.direct_write = True, None
        self.transport.close()

    def eof_received(self) -> None:
        """The peer is done: the transport closes."""

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport, self.direct_write = None, None
        self._is_closing = True
        self.receiver.on_lost(self)
