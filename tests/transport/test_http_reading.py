"""An HTTP connection is read from in small pieces, in turns, and ended when it floods."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from unittest.mock import patch

import pytest
from aiohttp import web

from gateway.metrics import requests_read, requests_refused
from gateway.transport import http_reading
from gateway.transport.conduct import POINTS_AT_ONCE, REFUSED_REQUEST, SLOW_FROM_POINTS
from gateway.transport.http_reading import READ_BYTES, HttpConnection, HttpServer, read_in_turns
from gateway.transport.paths import serve_path, take_turns
from gateway.transport.refusals import Refusals
from gateway.transport.turns import WORK_S, Turns, Work

GET = b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n"
REFUSED_AT_MOST = POINTS_AT_ONCE // REFUSED_REQUEST + 1


class CountingTurns(Turns):
    """Counts turns, and those in the slow lane."""

    def __init__(self) -> None:
        super().__init__()
        self.all = self.slow = 0

    def queue(self, turn: object, is_slow: bool = False) -> None:
        self.all += 1
        self.slow += is_slow
        super().queue(turn, is_slow)  # type: ignore[arg-type]


class Runner(web.AppRunner):
    """aiohttp's, with our server, as the worker has it."""

    def __init__(self, app: web.Application, turns: Turns) -> None:
        super().__init__(app, access_log=None)
        self.turns = turns

    async def _make_server(self) -> web.Server:
        return read_in_turns(await super()._make_server(), self.turns, Refusals())


@asynccontextmanager
async def served(proxy: str = "") -> AsyncIterator[tuple[int, CountingTurns, list[str], HttpServer]]:
    """An application that answers with the length of a body; its port, its turns, and what it was asked for."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return web.Response(text=str(len(await request.read())))

    async def refuse(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return web.Response(status=400)

    app, turns = web.Application(), CountingTurns()
    serve_path(app, "*", "/ok", answer)
    serve_path(app, "*", "/refused", refuse)
    take_turns(app, turns, "/nowhere", lambda peer: peer == proxy)
    runner = Runner(app, turns)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    assert isinstance(runner.server, HttpServer)
    try:
        yield runner.addresses[0][1], turns, asked, runner.server
    finally:
        await runner.cleanup()


async def spoken(port: int, *blocks: bytes) -> bytes:
    """Sends, and reads until the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for block in blocks:
            writer.write(block)
        async with asyncio.timeout(10):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()


@pytest.mark.parametrize("length", [0, 10, READ_BYTES, 100_000, 900_000])
async def test_requests_of_any_length_are_answered(length: int) -> None:
    async with served() as (port, _, _, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(3):
            writer.write(
                b"POST /ok HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % length + bytes(length)
            )
            async with asyncio.timeout(10):
                assert b"200" in await reader.readline()
                await reader.readuntil(b"\r\n\r\n")
                assert await reader.readexactly(len(str(length))) == str(length).encode()
        writer.close()


async def test_one_read_holds_4_kib_and_the_next_waits_for_a_turn() -> None:
    sizes = []
    original = HttpConnection.data_received

    def noted(self: HttpConnection, data: bytes) -> None:
        sizes.append(len(data))
        original(self, data)

    async with served() as (port, turns, _, _):
        with patch.object(HttpConnection, "data_received", noted):
            await spoken(
                port,
                b"POST /ok HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 90000\r\n\r\n",
                bytes(90_000),
            )
    assert max(sizes) <= READ_BYTES
    assert turns.all >= 90_000 // READ_BYTES
    assert turns.slow == 0


async def test_200_pipelined_requests_are_answered_in_order_and_go_to_the_slow_lane() -> None:
    async with served() as (port, turns, asked, _):
        answers = await spoken(
            port, GET % b"ok" * 199, b"GET /ok HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        assert answers.count(b"200 OK") == len(asked) == 200
        assert 100 < turns.slow < 200


@pytest.mark.parametrize("path", [b"refused", b"not-there"])
async def test_a_connection_whose_requests_are_refused_is_ended(
    path: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_reading, "LINGER_S", 0.05)
    async with served() as (port, turns, asked, server):
        answers = await spoken(port, GET % path * 5_000)
        assert server.requests_count <= REFUSED_AT_MOST + 10  # 10 a second are forgiven meanwhile
        assert len(asked) <= server.requests_count
        assert answers == b"" or b"Connection: close" in answers
        assert turns.slow > POINTS_AT_ONCE / REFUSED_REQUEST - 2 * SLOW_FROM_POINTS / REFUSED_REQUEST - 10


async def test_a_proxys_connection_is_not_charged_for_its_clients() -> None:
    async with served(proxy="127.0.0.1") as (port, _, asked, _):
        await spoken(
            port, GET % b"refused" * 150, b"GET /ok HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        assert len(asked) == 151


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02 nonsense \r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-Header: y\r\n" * 200,
        b"\0\r\n",
    ],
    ids=["tls", "headers", "nul"],
)
async def test_what_is_no_http_is_answered_once_counted_and_closed_without_a_traceback(
    garbage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with served() as (port, _, asked, _):
        before = dict(requests_refused.samples())
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(garbage)
        with caplog.at_level(logging.INFO):
            async with asyncio.timeout(10):
                answer = await reader.read()
        writer.transport.abort()
        assert answer.startswith(b"HTTP/1.0 400") or answer.startswith(b"HTTP/1.1 400")
        assert answer.count(b"HTTP/1.") == 1
        assert sum(dict(requests_refused.samples()).values()) == sum(before.values()) + 1
        assert "Traceback" not in caplog.text
        assert not asked


async def test_the_rest_of_a_refused_body_is_thrown_away_unparsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_reading, "LINGER_S", 0.2)
    fed = 0
    original = HttpConnection.data_received

    def noted(self: HttpConnection, data: bytes) -> None:
        nonlocal fed
        fed += len(data)
        original(self, data)

    async with served() as (port, _, _, _):
        with patch.object(HttpConnection, "data_received", noted):
            head = b"POST /refused HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            answers = await spoken(port, head, b"1\r\n3\r\n" * 50_000)
    assert b"400" in answers
    assert fed <= 10 * READ_BYTES


def test_work_is_much_after_8_ms_and_is_forgiven() -> None:
    work, seen = Work(), []
    for took_s, now_s in ((WORK_S, 1.0), (0.001, 1.0), (0.0, 2.0)):
        work.add(took_s, now_s)
        seen.append(work.is_much)
    assert seen == [False, True, False]


async def test_requests_are_counted_also_such_that_nobody_can_read() -> None:
    async with served() as (port, *_):
        known = requests_read.value
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(10):
            for request in (*[GET % b"ok"] * 3, b"no request\r\n\r\n"):
                writer.write(request)
                await reader.readuntil(b"\r\n\r\n")
        assert requests_read.value - known == 4
        writer.transport.abort()
