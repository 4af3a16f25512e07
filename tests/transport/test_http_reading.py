"""An HTTP connection that brings much is read from once in a round of the event loop."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from gateway.metrics import requests_read
from gateway.transport.http_reading import LONG_READ_BYTES, OneReadAtATime, read_in_turns


async def answer(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(text=str(len(await request.read())))


@pytest.mark.parametrize("length", [0, 10, 100_000, 900_000])
async def test_requests_of_any_length_are_answered(length: int) -> None:
    runner = web.ServerRunner(read_in_turns(web.Server(answer)))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    reader, writer = await asyncio.open_connection(*runner.addresses[0][:2])
    for _ in range(3):
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % length + bytes(length))
        async with asyncio.timeout(10):
            assert b"200" in await reader.readline()
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(len(str(length))) == str(length).encode()
    writer.close()
    await runner.cleanup()


async def test_after_a_long_read_it_pauses_until_the_loop_was_round() -> None:
    runner = web.ServerRunner(server := read_in_turns(web.Server(answer)))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    _, writer = await asyncio.open_connection(*runner.addresses[0][:2])
    async with asyncio.timeout(10):
        while not server.connections:
            await asyncio.sleep(0)
    (handler,) = server.connections
    assert isinstance(handler, OneReadAtATime)
    transport = handler.transport
    assert isinstance(transport, asyncio.ReadTransport)
    handler.data_received(
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n" + bytes(LONG_READ_BYTES)
    )
    assert not transport.is_reading()
    await asyncio.sleep(0)
    assert transport.is_reading()
    writer.close()
    await runner.cleanup()


async def test_requests_are_counted_also_such_that_nobody_can_read() -> None:
    runner = web.ServerRunner(read_in_turns(web.Server(answer)))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    reader, writer = await asyncio.open_connection(*runner.addresses[0][:2])
    known = requests_read.value
    async with asyncio.timeout(10):
        for request in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",) * 3 + (b"no request\r\n\r\n",):
            writer.write(request)
            await reader.readuntil(b"\r\n\r\n")
    assert requests_read.value - known == 4
    writer.close()
    await runner.cleanup()
