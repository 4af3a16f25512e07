"""A WebSocket of the gateway on a real connection, and the client at its other end.

Owns both ends, and closes them.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gateway.transport.connection import WebSocketConnection
from gateway.transport.frame_writer import as_protocol
from gateway.transport.turns import Turns
from gateway.websocket.close_codes import parse_close
from gateway.websocket.frames import CLOSE, FrameParser
from tests.support.client_frames import FIN
from tests.support.waiting import until

MAX_BYTES, MARK_BYTES, OUTBOUND_BYTES = 1000, 64 * 1024, 512 * 1024
"""Longest message, unsent bytes at which a WebSocket is behind, and at which it is cut off."""


@dataclass
class ListenerRecorder:
    """Listens to WebSockets: keeps what it is told; `answer` handles messages."""

    told: list[str] = field(default_factory=list)
    messages: list[tuple[int, bytes]] = field(default_factory=list)
    answer: Callable[[bytes], Awaitable[None] | None] = lambda data: None

    def on_message(self, websocket: WebSocketConnection, opcode: int, data: bytes) -> Awaitable[None] | None:
        self.messages.append((opcode, bytes(data)))
        return self.answer(bytes(data))

    def on_lost(self, websocket: WebSocketConnection) -> None:
        self.told.append("lost")

    def on_behind(self, websocket: WebSocketConnection) -> None:
        self.told.append("behind")

    def on_drained(self, websocket: WebSocketConnection) -> None:
        self.told.append("drained")

    def on_close_sent(self, websocket: WebSocketConnection) -> None:
        self.told.append("close sent")

    def texts(self) -> list[bytes]:
        return [data for _, data in self.messages]


@dataclass
class Pair:
    """A WebSocket, who listens to it, and the client at the other end of its connection."""

    listener: ListenerRecorder
    websocket: WebSocketConnection
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    turns: Turns = field(default_factory=Turns)

    def sends(self, *frames: bytes) -> None:
        """The client sends frames in one write."""
        self.writer.write(b"".join(frames))

    async def frame(self) -> tuple[int, bytes]:
        """The next frame that the client receives."""
        async with asyncio.timeout(10):
            first, length = await self.reader.readexactly(2)
            if length == 126:
                length = int.from_bytes(await self.reader.readexactly(2))
            elif length == 127:
                length = int.from_bytes(await self.reader.readexactly(8))
            assert first & FIN
            return first & 0x0F, await self.reader.readexactly(length)

    async def close_code(self) -> int:
        """The code of the close frame that comes next."""
        opcode, payload = await self.frame()
        assert opcode == CLOSE
        return parse_close(payload)[0]


@asynccontextmanager
async def pair_of(turns: Turns | None = None) -> AsyncIterator[Pair]:
    """An open WebSocket on a real connection; it shares `turns` with others, if they are given."""
    turns = turns or Turns()
    ours, theirs = socket.socketpair()
    listener = ListenerRecorder()
    websocket = WebSocketConnection(listener, FrameParser(MAX_BYTES), None, OUTBOUND_BYTES, turns)
    transport, _ = await asyncio.get_running_loop().create_connection(
        lambda: as_protocol(websocket), sock=ours
    )
    websocket.adopt(transport, MARK_BYTES)
    reader, writer = await asyncio.open_connection(sock=theirs)
    websocket.opened()
    websocket.start(b"")
    try:
        yield Pair(listener, websocket, reader, writer, turns)
    finally:
        websocket.abort()
        writer.transport.abort()
        await until(lambda: websocket.transport is None, what="the connection is gone")
