"""HTTP connections, as long as they are aiohttp's: read in small pieces, in turns, and ended when they flood.

Owns how much of a connection is read at once, what its requests cost it, and its end. Promises:

- one read holds `READ_BYTES`. What is behind it stays in the kernel until it is the connection's turn;
- who pipelines, or whose bytes took much of the processor, goes on in the slow lane;
- the rest of a body that was refused is thrown away as it came;
- what is no HTTP is answered with 400, counted and logged like every other refused request, and closed;
- a connection whose requests are refused again and again is served slowly, then ended (`conduct.py`).

Example: 60,000 bytes of chunks of one byte each are 10,000 calls in aiohttp's parser, 15 ms. They are read in 15
pieces, and most of those in the slow lane.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

import structlog
from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.web_protocol import RequestHandler

from gateway.metrics import cut_off, requests_read
from gateway.transport.conduct import CUT_OFF, Conduct
from gateway.transport.refusals import MALFORMED, Refusals
from gateway.transport.turns import TURN_S, TURNS_IN_A_ROW, Turns, Work

log = structlog.get_logger("gateway.transport")

READ_BYTES = 4_096
"""Heads of requests are shorter, and the costliest bytes that a parser can get take a millisecond."""

CHEAP_BYTES = 600
"""So many cannot take longer than a turn, whatever they are; the request of most clients' handshake is shorter."""

LINGER_S = 2.0
"""How long a connection that was ended stays open and unread: it does not come back at once."""


class _WithoutDelay(BaseProtocol):
    """A connection whose transport has set TCP_NODELAY already, as those of both event loops have: aiohttp would do it
    again, for three system calls and an object that stays with the connection."""

    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)


class HttpConnection(RequestHandler, _WithoutDelay):
    """aiohttp's handler of one connection, which remembers how it behaves."""

    __slots__ = ("_conduct", "_requests_in_a_row", "is_discarding", "is_over")

    def __init__(self, manager: web.Server, **how: Any) -> None:
        super().__init__(manager, **how)
        self._conduct: Conduct | None = None  # made for the first refusal, as most never get any
        self._requests_in_a_row = 0
        self.is_over = False  # ended; nothing of it is read any more
        self.is_discarding = False  # answered for the last time; what is still on its way is thrown away

    @property
    def is_pipelining(self) -> bool:
        """Whether a request waits behind another."""
        return len(self._messages) + (self._current_request is not None) > 1

    def is_slow(self) -> bool:
        """Whether its next turn is in the slow lane."""
        is_bad = self._conduct is not None and self._conduct.is_bad(time.monotonic())
        return is_bad or self._requests_in_a_row > TURNS_IN_A_ROW

    def count_request(self) -> None:
        """A request is handled: how many came one upon the other."""
        self._requests_in_a_row = self._requests_in_a_row + 1 if self._messages else 0

    async def come(self, turns: Turns, is_slow: bool) -> None:
        """Waits for its turn; meanwhile nothing is forgiven."""
        if self._conduct is not None:
            self._conduct.wait(time.monotonic())
        await turns.come(is_slow)
        if self._conduct is not None:
            self._conduct.waited(time.monotonic())

    def charge(self, points: int) -> None:
        """A request was refused; with too many of them the connection is over."""
        now_s = time.monotonic()
        if self._conduct is None:
            self._conduct = Conduct(now_s)
        if self._conduct.charge(points, now_s) and not self.is_over:
            cut_off.add(1)
            log.warning("connection_cut_off", reason=CUT_OFF)
            self.end()

    def end(self) -> None:
        """Reads nothing more."""
        self.is_over = True
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is no HTTP is refused; the rest is a fault of ours, and aiohttp's to log."""
        if status != 400 or not isinstance(self._manager, HttpServer):
            return super().handle_error(request, status, exc, message)
        assert isinstance(request, web.Request)  # an application makes no other
        self._manager.refusals.note(request, MALFORMED, request.remote, time.monotonic())
        response = web.Response(status=status, text=message)
        response.force_close()
        return response


class HttpReader(asyncio.BufferedProtocol):
    """What the event loop gives bytes to, for an `HttpConnection`."""

    __slots__ = ("_connection", "_is_queued", "_server", "_work")

    def __init__(self, server: HttpServer, connection: HttpConnection) -> None:
        self._server = server
        self._connection = connection
        self._work = Work()
        self._is_queued = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connection.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()

    def eof_received(self) -> None:
        self._connection.eof_received()

    def get_buffer(self, sizehint: int) -> memoryview:
        """The same for all connections: what is in it is taken out at once."""
        return self._server.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self._server.buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Hands bytes to aiohttp. If more is likely to be there, or they were costly, the next ones wait for a turn."""
        connection = self._connection
        begun_s = time.thread_time() if len(data) > CHEAP_BYTES else None  # 2 µs each time: a system call
        if not connection.is_discarding:
            known = len(connection._messages)
            connection.data_received(data)
            requests_read.add(len(connection._messages) - known)
        took_s = time.thread_time() - begun_s if begun_s is not None else 0.0
        transport = connection.transport
        if transport is None or transport.is_closing():
            return
        if len(data) < READ_BYTES and took_s < TURN_S and not connection.is_pipelining:
            return
        self._work.add(took_s, time.monotonic())
        transport.pause_reading()
        if not self._is_queued:
            self._is_queued = True
            is_slow = self._work.is_much or connection.is_slow()
            self._server.turns.queue(self._read_on, is_slow)

    def _read_on(self) -> None:
        """Its turn: reads on, unless the connection is over or has left aiohttp, or aiohttp has paused it."""
        self._is_queued = False
        connection = self._connection
        transport = connection.transport
        if transport is None or transport.is_closing() or connection.is_over:
            return
        if not connection._reading_paused and not connection._buffer_paused:
            transport.resume_reading()


class HttpServer(web.Server):
    """aiohttp's server of such connections."""

    turns: Turns
    refusals: Refusals
    buffer: memoryview

    def __call__(self) -> HttpReader:  # type: ignore[override]
        return HttpReader(self, HttpConnection(self, loop=self._loop, **self._kwargs))


def read_in_turns(server: web.Server, turns: Turns, refusals: Refusals) -> HttpServer:
    """Makes a server of aiohttp's making read so."""
    server.__class__ = HttpServer
    assert isinstance(server, HttpServer)
    server.turns, server.refusals = turns, refusals
    server.buffer = memoryview(bytearray(READ_BYTES))
    # The kernel's probes begin after two hours: pings and time-outs are there before. Each costs a system call, and an
    # object for as long as the connection lives.
    server._kwargs["tcp_keepalive"] = False
    return server


def connection_of(request: web.Request) -> HttpConnection | None:
    """The connection of a request; None where aiohttp's own server reads."""
    return request.protocol if isinstance(request.protocol, HttpConnection) else None


def cut_off_with_session(request: web.Request) -> None:
    """The session of a request was cut off: its connection is over, too."""
    if (connection := connection_of(request)) is not None:
        connection.end()


async def linger(connection: HttpConnection, request: web.Request, response: web.StreamResponse) -> None:
    """Answers the last request of a connection, keeps it for a while, and closes it. What comes meanwhile, the rest of
    a body that was refused, is not parsed: if it was never read the answer might not arrive."""
    connection.is_discarding = True
    response.force_close()
    await response.prepare(request)
    await response.write_eof()
    await asyncio.sleep(LINGER_S)
    connection.force_close()
