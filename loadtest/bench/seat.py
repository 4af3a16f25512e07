"""One connection of the load: a WebSocket client that knows just enough of Socket.IO to join, send and count.

What arrives is not parsed but searched for marks, of three bytes each, with the last two bytes of the read before in
front: so no mark is missed at the border of two reads, and none is counted twice.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import struct
import time
from dataclasses import dataclass, field
from typing import Any, cast

MESSAGE = b'"~~'  # a text of the load begins with ~~ and the time; nothing else in a packet does
ACKNOWLEDGEMENT = b'[{"'  # its one argument is an object; an event's first argument is its name
PING = b"\x81\x012"
PONG = b"3"


def text_frame(payload: bytes) -> bytes:
    """A client's WebSocket text frame. It is masked, as it must be, with zeros: so the payload travels as it is."""
    size = len(payload)
    length = struct.pack("!B", 0x80 | size) if size < 126 else struct.pack("!BH", 0x80 | 126, size)
    return b"\x81" + length + b"\0\0\0\0" + payload


def event_frame(name: str, data: dict[str, Any], number: int | None = None) -> bytes:
    """A Socket.IO event; with a number it asks for an acknowledgement."""
    return text_frame(f"42{'' if number is None else number}{json.dumps([name, data])}".encode())


@dataclass(slots=True)
class Tally:
    """What all seats together have counted since the last reset."""

    deliveries: int = 0
    acknowledged: int = 0
    closed: int = 0
    latencies_s: list[float] = field(default_factory=list)

    def reset(self) -> None:
        """Starts again from nothing."""
        self.deliveries = self.acknowledged = self.closed = 0
        self.latencies_s.clear()


class Seat(asyncio.Protocol):
    """A member on one connection; `home` is the worker (or the port) that it landed on.

    `connected` turns True when the server has let it in, False when it was turned away with 503 for now.
    """

    def __init__(self, tally: Tally, port: int) -> None:
        self._tally, self.home = tally, str(port)
        self._transport: asyncio.Transport | None = None
        self._buffer, self._tail = b"", b""
        self._take = self._on_handshake
        self._username = self._room = ""
        loop = asyncio.get_running_loop()
        self.connected: asyncio.Future[bool] = loop.create_future()
        self._joined: asyncio.Future[None] = loop.create_future()
        self.is_sampled = False

    async def join(self, room: str, username: str) -> None:
        """Joins; returns when the server has acknowledged it."""
        self._room, self._username, self._take = room, username, self._on_join
        self._write(event_frame("join", {"username": username, "room": room}, 0))
        await self._joined

    def say(self, padding: str, number: int | None) -> None:
        """Sends a message that carries the time."""
        message = f"~~{time.perf_counter():.6f} {padding}"
        data = {"username": self._username, "room": self._room, "message": message}
        self._write(event_frame("send", data, number))

    def abort(self) -> None:
        """Cuts the connection."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its class
        key = base64.b64encode(os.urandom(16)).decode()
        self._write(
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        self._take(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._tally.closed += 1
        for future in (self.connected, self._joined):
            if not future.done():
                future.set_exception(error or ConnectionResetError("the server closed the connection"))
                future.exception()  # it may be that nobody waits for it

    def _on_handshake(self, data: bytes) -> None:
        self._buffer += data
        head, ended, _ = self._buffer.partition(b"\r\n\r\n")
        if not ended:
            return
        if head.startswith(b"HTTP/1.1 503"):
            self._turn_away()
        elif not head.startswith(b"HTTP/1.1 101"):
            self.connected.set_exception(ConnectionError(head.partition(b"\r\n")[0].decode()))
            self.abort()
        else:
            self._take = self._on_open
            self._on_open(b"")

    def _turn_away(self) -> None:
        self._take = _ignore
        self.connected.set_result(False)
        self.abort()

    def _on_open(self, data: bytes) -> None:
        self._buffer += data
        _, found, rest = self._buffer.partition(b'"sid":"')
        if not found or b'"' not in rest:
            return
        worker, dot, _ = rest.partition(b'"')[0].partition(b".")
        if dot:  # a session id of the gateway, which begins with its worker's
            self.home = worker.decode()
        self._buffer, self._take = b"", self._on_connect
        self._write(text_frame(b"40"))

    def _on_connect(self, data: bytes) -> None:
        self._buffer += data
        if b"40{" in self._buffer:
            self._buffer, self._take = b"", _ignore
            self.connected.set_result(True)

    def _on_join(self, data: bytes) -> None:
        self._buffer += data
        if b"430[" in self._buffer:
            self._buffer, self._take = b"", self._on_live
            self._joined.set_result(None)

    def _on_live(self, data: bytes) -> None:
        data = self._tail + data
        self._tail = data[-2:]
        found = data.count(MESSAGE)
        self._tally.deliveries += found
        self._tally.acknowledged += data.count(ACKNOWLEDGEMENT)
        if found and self.is_sampled:
            self._note_latencies(data)
        if PING in data:
            self._write(text_frame(PONG))

    def _note_latencies(self, data: bytes) -> None:
        now = time.perf_counter()
        for piece in data.split(MESSAGE)[1:]:
            stamp, ended, _ = piece[:24].partition(b" ")
            if ended:  # else it was cut by the border of two reads
                self._tally.latencies_s.append(now - float(stamp))

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


def _ignore(data: bytes) -> None:
    """Nothing is expected here but pings that come too early to matter."""
