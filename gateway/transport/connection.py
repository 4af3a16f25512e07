"""The WebSocket under a session: a protocol without task, queue or timer.

Owns one TCP connection after the WebSocket handshake: frames in, frames out, flow control, the closing handshake.
Promises:

- messages are handed up in order; while a handler needs time, the next one waits and nothing more is read;
- whatever a client sends ends at most this connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from enum import Enum, auto
from typing import Any

import structlog

from gateway.interfaces import WebSocketEvents
from gateway.transport.codec import MalformedPacket
from gateway.websocket.close_codes import (
    INTERNAL_ERROR,
    NO_CODE,
    NORMAL,
    PROTOCOL_ERROR,
    FrameError,
    parse_close,
)
from gateway.websocket.deflate import COMPRESS_FROM_BYTES, Deflate, compress
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


class ConnectionState(Enum):
    """Where a connection is between its handshake and its end."""

    PROBING = auto()
    """It carries no session yet."""
    OPEN = auto()
    """It carries a session."""
    CLOSING = auto()
    """The close frame was sent, or the connection is gone: nothing more is sent, and only a close frame is taken."""


# Read for every message, and a global name is found faster than a member of an Enum.
_CLOSING = ConnectionState.CLOSING


class WebSocketConnection(asyncio.Protocol):
    """One WebSocket connection."""

    __slots__ = (
        "_backlog",
        "_deflate",
        "_is_busy",
        "_is_stopped",
        "_listener",
        "_max_bytes",
        "_parser",
        "_state",
        "_writer",
        "direct_write",
        "transport",
    )

    def __init__(
        self,
        listener: WebSocketEvents[WebSocketConnection],
        parser: FrameParser,
        deflate: Deflate | None,
        outbound_max_bytes: int,
    ) -> None:
        """`deflate` is the compression that was agreed on; with more than `outbound_max_bytes` unsent the connection
        is aborted."""
        self._listener = listener
        self._parser = parser
        self._deflate = deflate
        self._max_bytes = outbound_max_bytes
        self._state = ConnectionState.PROBING
        # The handler of a message is not done; what came meanwhile, in order.
        self._is_busy = False
        self._backlog: list[Message] | None = None
        # `stop_reading` was called.
        self._is_stopped = False
        # None before `adopt` and after the end; and the same to write on, None from the close frame on.
        self.transport: asyncio.Transport | None = None
        self._writer: asyncio.Transport | None = None
        # Writes ready frames; None where frames may have to be compressed, or nothing may be written.
        self.direct_write: Callable[[bytes], None] | None = None

    def adopt(self, transport: asyncio.Transport, mark_bytes: int) -> None:
        """Begins to use an open transport on which the handshake has been answered; over `mark_bytes` unsent it counts
        as behind."""
        self.transport = self._writer = transport
        # Drained only at a quarter of the mark: a peer that reads in small steps does not go back and forth.
        transport.set_write_buffer_limits(high=mark_bytes, low=mark_bytes // 4)

    def start(self, tail: bytes) -> None:
        """Begins to read, with what had arrived before the connection was hijacked."""
        if tail:
            self.data_received(tail)
        if self.transport is not None and not self._is_busy and not self.transport.is_closing():
            self.transport.resume_reading()

    @property
    def is_settled(self) -> bool:
        """Whether the connection carries a session, or is gone."""
        return self._state is not ConnectionState.PROBING

    def opened(self) -> None:
        """It carries a session from now on: ready frames may be written to it directly."""
        if self._state is _CLOSING:
            return
        self._state = ConnectionState.OPEN
        if self.transport is not None and self._deflate is None:
            self.direct_write = self.transport.write

    # -- sending

    def send_text(self, packet: bytes) -> None:
        """Sends one text message."""
        self._write(text_frame(packet) if self._deflate is None else self._text(packet))

    def send_texts(self, packets: Sequence[bytes]) -> None:
        """Sends text messages in one write."""
        if self._deflate is None:
            self._write(b"".join(map(text_frame, packets)))
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
        return text_frame(packet)

    def _write(self, data: bytes) -> None:
        writer = self._writer
        if writer is None:
            return
        writer.write(data)
        if writer.get_write_buffer_size() > self._max_bytes:
            writer.abort()

    # -- receiving

    def data_received(self, data: bytes) -> None:
        """Called by the event loop with what has arrived."""
        error = None
        try:
            messages = self._parser.feed(data)
        except FrameError as wrong:
            messages, error = wrong.messages, wrong
        if self._is_busy or (self._is_stopped and self._state is not _CLOSING):
            self._backlog = [*(self._backlog or ()), *messages]
        else:
            self._handle(messages)
        if error is not None:
            self.close(error.code, None, error.reason)

    def _handle(self, messages: Sequence[Message]) -> None:
        for place, (opcode, data) in enumerate(messages):
            if self._state is _CLOSING and opcode != CLOSE:
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
            return self._listener.on_message(self, opcode, data)
        except Exception as error:
            self._close_for(error)
        return None

    def _close_for(self, error: BaseException) -> None:
        """A handler failed: the connection ends, and says whose fault it was."""
        if isinstance(error, MalformedPacket):
            log.debug("packet_malformed", reason=str(error))
            self.close(PROTOCOL_ERROR, None)
        else:
            log.error("event_failed", exc_info=error)
            self.close(INTERNAL_ERROR, None)

    def _wait(self, waits: Awaitable[None], rest: Sequence[Message]) -> None:
        """Reads no further until the handler is done: the client's events stay in order, and in its own buffers."""
        self._is_busy, self._backlog = True, list(rest)
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()
        asyncio.ensure_future(waits).add_done_callback(self._resume)

    def _resume(self, done: asyncio.Future[None]) -> None:
        self._is_busy = False
        if not done.cancelled() and (error := done.exception()) is not None:
            self._close_for(error)
        if self.transport is None or (self._is_stopped and self._state is not _CLOSING):
            return
        backlog, self._backlog = self._backlog, None
        if backlog:
            self._handle(backlog)
        if not self._is_busy and self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    # -- flow control and the end

    def pause_writing(self) -> None:
        self._listener.on_behind(self)

    def resume_writing(self) -> None:
        self._listener.on_drained(self)

    def stop_reading(self) -> None:
        """Takes nothing more from the peer but, once closed, its close frame; stays open for writing."""
        self._is_stopped = True
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def close(self, code: int, packet: bytes | None, reason: str = "") -> None:
        """Begins the closing handshake, after one last text packet if there is one."""
        if self._state is _CLOSING or self.transport is None:
            return
        last = text_frame(packet) if packet is not None else b""
        self.transport.write(last + close_frame(code, reason))
        self._stop_writing()
        if self._is_stopped and not self._is_busy and not self.transport.is_closing():
            self.transport.resume_reading()
        self._listener.on_close_sent(self)

    def abort(self) -> None:
        """Ends the connection at once, without a closing handshake; what is unsent is lost."""
        if self.transport is not None:
            self.transport.abort()

    def _stop_writing(self) -> None:
        self._state = ConnectionState.CLOSING
        self._writer = self.direct_write = None

    def _peer_closed(self, payload: bytes) -> None:
        if self.transport is None:
            return
        if self._state is not _CLOSING:
            code, _ = parse_close(payload)
            self.transport.write(close_frame(NORMAL if code == NO_CODE else code))
        self._stop_writing()
        self.transport.close()

    def eof_received(self) -> None:
        """The peer is done: the transport closes."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_writing()
        self.transport = None
        self._listener.on_lost(self)
