"""What one client may make of its polling requests: tens of thousands of packets, or a body that never comes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from gateway.metrics import packets_read
from gateway.option_groups import EngineOptions
from gateway.socketio.server import SocketServer
from gateway.transport import polling
from gateway.transport.outbox import Outbox
from gateway.transport.polling import receive_payload
from gateway.transport.server import EngineServer
from gateway.transport.socket import EngineSocket
from gateway.transport.turns import TURN_MESSAGES, Turns
from tests.support.serving import serving
from tests.support.waiting import until


class Counter:
    """Takes events and counts them."""

    def __init__(self) -> None:
        self.events = 0

    def on_event(self, name: Any, arguments: list[Any], ack: int | None) -> None:
        self.events += 1

    def on_behind(self) -> None:
        """Not counted."""

    def on_drained(self) -> None:
        """Not counted."""

    def on_connected(self, data: Any) -> None:
        """Nothing."""

    def on_transport_changed(self) -> None:
        """Not counted."""


@pytest.fixture
def socket() -> EngineSocket:
    engine = EngineServer(EngineOptions(worker="w"))
    socket = EngineSocket(engine, "w.sid")
    socket.open_over_polling()
    engine.sockets[socket.sid] = socket
    socket.events = Counter()
    return socket


async def test_a_payload_of_many_packets_is_handled_in_turns(socket: EngineSocket) -> None:
    counter = socket.events
    assert isinstance(counter, Counter)
    known = packets_read.value
    handling = asyncio.create_task(receive_payload(socket, b"\x1e".join([b'42["a"]'] * 3_000), Turns()))
    seen, most = 0, 0
    async with asyncio.timeout(20):
        while seen < 3_000:
            await asyncio.sleep(0)
            most, seen = max(most, counter.events - seen), counter.events
    await handling
    assert most <= TURN_MESSAGES
    assert packets_read.value - known == 3_000


async def test_packets_that_no_honest_client_sends_end_the_session(socket: EngineSocket) -> None:
    async with asyncio.timeout(20):
        await receive_payload(socket, b"\x1e".join([b"3"] * 30_000), Turns())
    assert socket.closed


async def test_a_session_that_ends_takes_nothing_more_of_its_payload(socket: EngineSocket) -> None:
    counter = socket.events
    assert isinstance(counter, Counter)
    handling = asyncio.create_task(receive_payload(socket, b"\x1e".join([b'42["a"]'] * 3_000), Turns()))
    await until(lambda: counter.events, what="it begins")
    socket.end("gone")
    handled = counter.events
    await asyncio.wait_for(handling, 5)
    assert counter.events == handled


class Popping(deque[Any]):
    """Counts what is done to it."""

    pops = 0

    def popleft(self) -> Any:
        self.pops += 1
        return super().popleft()


def test_taking_16_packets_touches_16_whatever_waits() -> None:
    outbox = Outbox()
    popping = outbox._packets = Popping((b"x", False) for _ in range(100_000))
    outbox.unsent_bytes = 100_000
    assert len(outbox.take(16)) == popping.pops == 16
    assert outbox._packets is popping
    assert (len(outbox), outbox.unsent_bytes) == (99_984, 99_984)


# -- a body that never comes


@pytest.fixture
async def served() -> AsyncIterator[tuple[SocketServer, int]]:
    server = SocketServer(EngineOptions(worker="w"), namespaces=["/"])
    app = web.Application()
    server.attach(app, "socket.io")
    async with serving(app) as url:
        yield server, int(url.rpartition(":")[2])
    await server.eio.shutdown()


@asynccontextmanager
async def silent_post(
    port: int, server: SocketServer
) -> AsyncIterator[tuple[asyncio.StreamReader, EngineSocket]]:
    """A POST that announces 60,000 bytes for a session of its own, and sends none."""
    reader, opening = await asyncio.open_connection("127.0.0.1", port)
    url = "/socket.io/?EIO=4&transport=polling"
    opening.write(f"GET {url} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await reader.readuntil(b"0{")
    (socket,) = server.eio.sockets.values()
    answer, posting = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {url}&sid={socket.sid} HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n"
    posting.write(head.encode())
    await until(lambda: socket.body_deadline is not None, what="the body is waited for")
    yield answer, socket
    for writer in (opening, posting):
        writer.transport.abort()


async def test_a_post_that_stays_silent_ends_with_its_session(served: tuple[SocketServer, int]) -> None:
    server, port = served
    async with silent_post(port, server) as (answer, socket):
        socket.end(server.eio.reason.PING_TIMEOUT, packet=None)
        async with asyncio.timeout(5):
            assert b"400" in await answer.readline()
    assert (socket.body_deadline, socket.is_posting) == (None, False)


async def test_a_post_that_stays_silent_has_a_deadline(
    served: tuple[SocketServer, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "POST_S", 0.2)
    server, port = served
    async with silent_post(port, server) as (answer, socket):
        async with asyncio.timeout(5):
            assert b"400" in await answer.readline()
    assert socket.closed
