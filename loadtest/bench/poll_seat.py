"""One connection of the load that polls: two kept-alive HTTP connections, one asks and one tells.

Knows just enough of Engine.IO's polling, and counts by the marks of `seat.py`. What is to be told while a request is
under way leaves together with the next.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any, cast

from loadtest.bench.seat import ACKNOWLEDGEMENT, MESSAGE, Tally

BETWEEN = b"\x1e"
"""What stands between packets of one body."""


class HttpConnection(asyncio.Protocol):
    """One request at a time; `on_body` gets the body of each answer, `on_lost` what ended it."""

    def __init__(self, on_body: Callable[[bytes], None], on_lost: Callable[[Exception], None]) -> None:
        self._on_body, self._on_lost = on_body, on_lost
        self._transport: asyncio.Transport | None = None
        self._buffer = b""

    def request(self, head: str, body: bytes = b"") -> None:
        """Sends a request; `head` is its method and target."""
        if self._transport is not None:
            length = f"Content-Length: {len(body)}\r\n" if body else ""
            self._transport.write(f"{head} HTTP/1.1\r\nHost: 127.0.0.1\r\n{length}\r\n".encode() + body)

    def abort(self) -> None:
        """Cuts the connection."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._on_lost(error or ConnectionResetError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, ended, body = self._buffer.partition(b"\r\n\r\n")
        if not ended:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if len(body) < length:
            return
        self._buffer = b""
        if head.startswith(b"HTTP/1.1 200"):
            self._on_body(body)
        else:
            self._on_lost(ConnectionError(head.partition(b"\r\n")[0].decode()))
            self.abort()


class PollSeat:
    """A member that polls; the same as a `Seat` to who drives it."""

    def __init__(self, tally: Tally, port: int) -> None:
        self._tally, self._port, self.home = tally, port, str(port)
        self._asking = HttpConnection(self._on_packets, self._on_lost)
        self._telling = HttpConnection(self._on_told, self._on_lost)
        self._target = "/socket.io/?EIO=4&transport=polling"
        self._waiting: list[bytes] = []
        self._is_telling = self._is_lost = False
        self._username = self._room = ""
        loop = asyncio.get_running_loop()
        self.connected: asyncio.Future[bool] = loop.create_future()
        self._joined: asyncio.Future[None] = loop.create_future()
        self.is_sampled = False

    async def open(self) -> None:
        """Opens both connections and asks for a session."""
        loop = asyncio.get_running_loop()
        for connection in (self._asking, self._telling):
            await loop.create_connection(lambda each=connection: each, "127.0.0.1", self._port)  # type: ignore[misc]
        self._asking.request(f"GET {self._target}")

    async def join(self, room: str, username: str) -> None:
        """Joins; returns when the server has acknowledged it."""
        self._room, self._username = room, username
        self._tell("join", {"username": username, "room": room}, 0)
        await self._joined

    def say(self, padding: str, number: int | None) -> None:
        """Sends a message that carries the time."""
        message = f"~~{time.perf_counter():.6f} {padding}"
        self._tell("send", {"username": self._username, "room": self._room, "message": message}, number)

    def abort(self) -> None:
        """Cuts both connections."""
        self._asking.abort()
        self._telling.abort()

    def _tell(self, name: str, data: dict[str, Any], number: int | None) -> None:
        self._post(f"42{'' if number is None else number}{json.dumps([name, data])}".encode())

    def _post(self, packet: bytes) -> None:
        self._waiting.append(packet)
        if not self._is_telling:
            self._flush()

    def _flush(self) -> None:
        self._is_telling = bool(self._waiting)
        if self._waiting:
            body, self._waiting = BETWEEN.join(self._waiting), []
            self._telling.request(f"POST {self._target}", body)

    def _on_told(self, body: bytes) -> None:
        self._flush()

    def _on_packets(self, body: bytes) -> None:
        for packet in body.split(BETWEEN):
            self._on_packet(packet)
        if self._joined.done():
            self._count(body)
        self._asking.request(f"GET {self._target}")

    def _on_packet(self, packet: bytes) -> None:
        if packet.startswith(b'0{"'):
            self._target += f"&sid={json.loads(packet[1:])['sid']}"
            self._post(b"40")
        elif packet == b"2":
            self._post(b"3")
        elif packet.startswith(b"40{") and not self.connected.done():
            self.connected.set_result(True)
        elif packet.startswith(b"430[") and not self._joined.done():
            self._joined.set_result(None)

    def _count(self, body: bytes) -> None:
        self._tally.deliveries += body.count(MESSAGE)
        self._tally.acknowledged += body.count(ACKNOWLEDGEMENT)
        if self.is_sampled:
            now = time.perf_counter()
            stamps = (piece.partition(b" ")[0] for piece in body.split(MESSAGE)[1:])
            self._tally.latencies_s.extend(now - float(stamp) for stamp in stamps)

    def _on_lost(self, error: Exception) -> None:
        """The first of the two connections that ends, ends the member."""
        if self._is_lost:
            return
        self._is_lost = True
        self._tally.closed += 1
        for future in (self.connected, self._joined):
            if not future.done():
                future.set_exception(error)
                future.exception()  # it may be that nobody waits for it
        self.abort()
