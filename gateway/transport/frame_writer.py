"""The writing half of a WebSocket: messages become frames, and leave.

Owns what is written and how much of it may be unsent. Promises that what was sent while a batch is handled leaves in
one write, and that a connection over its limit is cut at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Any, Final, cast

from gateway.interfaces import WebSocketEvents
from gateway.metrics import written_bytes
from gateway.websocket.deflate import COMPRESS_FROM_BYTES, Deflate, compress
from gateway.websocket.frames import BINARY, TEXT, frame, text_frame


class ConnectionState(Enum):
    """Where a connection is between its handshake and its end."""

    PROBING = auto()
    """It carries no session yet."""
    OPEN = auto()
    """It carries a session."""
    CLOSING = auto()
    """The close frame was sent, or the connection is gone: nothing more is sent, and only a close frame is taken."""


_OPEN: Final = ConnectionState.OPEN  # a global name is found faster than a member of an Enum


class FrameWriter:
    """What is sent on one WebSocket. An `asyncio.Protocol` by its methods, not by its base: a compiled class has none
    that is not compiled."""

    __slots__ = (
        "_deflate",
        "_held",
        "_held_bytes",
        "_listener",
        "_max_bytes",
        "_state",
        "_writer",
        "close_code",
        "transport",
    )

    def __init__(
        self, listener: WebSocketEvents[Any], deflate: Deflate | None, outbound_max_bytes: int
    ) -> None:
        self._listener = listener
        self._deflate = deflate
        self._max_bytes = outbound_max_bytes
        self._state = ConnectionState.PROBING
        # None before `adopt` and after the end; and the same to write on, None from the close frame on.
        self.transport: asyncio.Transport | None = None
        self._writer: asyncio.Transport | None = None
        # What was sent since `hold`; None while everything is written at once. Rooms write directly, but never while
        # a client's messages are handled: what its events cause comes back from the store, in a turn of its own.
        self._held: list[bytes] | None = None
        self._held_bytes = 0
        self.close_code: int | None = None  # of the close frame, whoever sent one first

    def adopt(self, transport: asyncio.Transport, mark_bytes: int) -> None:
        """Begins to use an open transport on which the handshake has been answered; over `mark_bytes` unsent it counts
        as behind."""
        self.transport = self._writer = transport
        # Drained only at a quarter of the mark: a peer that reads in small steps does not go back and forth.
        transport.set_write_buffer_limits(high=mark_bytes, low=mark_bytes // 4)

    @property
    def is_settled(self) -> bool:
        """Whether the connection carries a session, or is gone."""
        return self._state is not ConnectionState.PROBING

    def opened(self) -> None:
        """It carries a session from now on: ready frames may be written to it directly."""
        if self._state is ConnectionState.CLOSING:
            return
        self._state = ConnectionState.OPEN

    @property
    def direct_write(self) -> Callable[[bytes], None] | None:
        """Writes ready frames; None where frames may have to be compressed, or nothing may be written."""
        if self._state is not _OPEN or self._deflate is not None or self._writer is None:
            return None
        return self._writer.write

    @property
    def unsent_bytes(self) -> int:
        """How much was sent and has not left."""
        return (self._writer.get_write_buffer_size() if self._writer is not None else 0) + self._held_bytes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It counts from `adopt` on: the connection was another protocol's before."""

    def pause_writing(self) -> None:
        self._listener.on_behind(self)

    def resume_writing(self) -> None:
        self._listener.on_drained(self)

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

    def abort(self) -> None:
        """Ends the connection at once, without a closing handshake; what is unsent is lost, and nothing that came is
        handled any more."""
        if self.transport is not None:
            self._stop_writing()
            self.transport.abort()

    def _pause_reading(self) -> None:
        """Nothing more comes from the transport for now, if it is still there."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def _text(self, packet: bytes) -> bytes:
        if self._deflate is not None and len(packet) >= COMPRESS_FROM_BYTES:
            return frame(TEXT, compress(packet, self._deflate.compress_window_bits), True)
        return text_frame(packet)

    def _write(self, data: bytes) -> None:
        writer = self._writer
        if writer is None:
            return
        written_bytes.value += len(data)
        if self._held is None:
            writer.write(data)
        else:
            self._held.append(data)
            self._held_bytes += len(data)
        if writer.get_write_buffer_size() + self._held_bytes > self._max_bytes:
            self.abort()

    def hold(self) -> None:
        """What is sent from now on leaves with `release`, in one write."""
        if self._held is None:
            self._held = []

    def release(self) -> None:
        held, self._held, self._held_bytes = self._held, None, 0
        if held and self._writer is not None:
            self._writer.write(b"".join(held))

    def _stop_writing(self) -> None:
        self._state = ConnectionState.CLOSING
        self._writer = self._held = None
        self._held_bytes = 0


def as_protocol(writer: FrameWriter) -> asyncio.Protocol:
    """The same, for those who ask for an `asyncio.Protocol` by its name."""
    return cast(asyncio.Protocol, writer)
