"""Bare TCP, for frames and requests that no client library sends. Every wait has a limit."""

from __future__ import annotations

import asyncio
import base64
import os
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

from tests.system.conformance.wire import LIMIT_S


class RawSocket:
    """A TCP connection on which a WebSocket was opened by hand, for frames that no client library sends."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int, target: str, headers: str = "", behind: bytes = b"") -> Self:
        """Shakes hands for `target` (path and query); the answer's head has been read.

        `behind` is sent in one piece with the request, before it was answered.
        """
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        key = base64.b64encode(os.urandom(16)).decode()
        writer.write(
            f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n".encode()
            + behind
        )
        async with asyncio.timeout(LIMIT_S):
            head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        return cls(reader, writer)

    def write(self, data: bytes) -> None:
        """Sends bytes as they are."""
        self._writer.write(data)

    async def receive(self) -> tuple[int, bytes]:
        """The next frame of the server as (opcode, payload); a lost connection is an empty close frame."""
        async with asyncio.timeout(LIMIT_S):
            try:
                first, size = await self._reader.readexactly(2)
                if size == 126:
                    (size,) = struct.unpack("!H", await self._reader.readexactly(2))
                elif size == 127:
                    (size,) = struct.unpack("!Q", await self._reader.readexactly(8))
                return first & 15, await self._reader.readexactly(size)
            except (asyncio.IncompleteReadError, ConnectionError):
                return 8, b""

    async def closed_after_s(self) -> tuple[float, int | None]:
        """Waits for the server's close frame or the end of the connection: the seconds and the close code."""
        start_s = time.monotonic()
        while True:
            opcode, payload = await self.receive()
            if opcode == 8:
                code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else None
                return time.monotonic() - start_s, code

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            pass  # the server was faster


@asynccontextmanager
async def half_request(port: int, head: str, beginning: bytes) -> AsyncIterator[None]:
    """Sends a request's head (with its first line) and the beginning of its body, and leaves it at that."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(head.encode() + b"\r\n" + beginning)
        await writer.drain()
        yield
    finally:
        writer.close()
        await writer.wait_closed()


def client_frame(
    opcode: int, payload: bytes, *, is_final: bool = True, reserved: int = 0, mask: bool = True
) -> bytes:
    """One WebSocket frame by RFC 6455 section 5.2; `reserved` are the three reserved bits as a number."""
    first, size, bit = (0x80 if is_final else 0) | reserved << 4 | opcode, len(payload), 0x80 if mask else 0
    if size < 126:
        head = bytes((first, bit | size))
    elif size < 65_536:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    if not mask:
        return head + payload
    key = os.urandom(4)
    stream = (key * (size // 4 + 1))[:size]
    masked = (int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")).to_bytes(size, "big")
    return head + key + masked
