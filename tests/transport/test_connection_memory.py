"""What a WebSocket holds of the HTTP that came before it: nothing."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

import aiohttp
import pytest
import uvloop
from aiohttp import web

from gateway.option_groups import EngineOptions
from gateway.transport.http_reading import HttpConnection, HttpReader, read_in_turns
from gateway.transport.server import EngineServer

CONNECTIONS = 10


class Runner(web.AppRunner):
    """aiohttp's, with our server, as the worker has it."""

    def __init__(self, app: web.Application, engine: EngineServer) -> None:
        super().__init__(app, access_log=None)
        self._engine = engine

    async def _make_server(self) -> web.Server:
        return read_in_turns(await super()._make_server(), self._engine.turns, self._engine.refusals)


@pytest.mark.parametrize("loop", [uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def test_websockets_leave_nothing_of_aiohttp_behind(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(left_behind()) == []


async def left_behind() -> list[HttpConnection | HttpReader]:
    """What of HTTP is alive beside `CONNECTIONS` open WebSockets."""
    engine, app = EngineServer(EngineOptions(worker="w")), web.Application()
    engine.on("connect", lambda sid, environ: None)
    engine.attach(app)
    runner = Runner(app, engine)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/engine.io/?EIO=4&transport=websocket"
    try:
        async with aiohttp.ClientSession() as client:
            sockets = [await client.ws_connect(url) for _ in range(CONNECTIONS)]
            for socket in sockets:
                await socket.receive(1)
            await asyncio.sleep(0.05)
            assert len(engine.sockets) == CONNECTIONS
            gc.collect()
            return [one for one in gc.get_objects() if isinstance(one, HttpConnection | HttpReader)]
    finally:
        await engine.shutdown()
        await runner.cleanup()
