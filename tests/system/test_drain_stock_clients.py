"""Stock clients come back by themselves from a worker that drains, over either transport."""

from __future__ import annotations

import asyncio
import gc
import os
import signal

import pytest

from tests.support.gateways import Gateway
from tests.support.stock_clients import JavaScriptClient, PythonClient, StockClient, Way
from tests.support.waiting import until

WAYS: tuple[Way, ...] = ("polling", "upgrade", "websocket")


# python-engineio's client drops its HTTP session unclosed when polling fails.
@pytest.mark.filterwarnings("ignore:Unclosed:ResourceWarning")
async def test_stock_clients_come_back_after_a_rolling_restart(
    redis_url: str, room: str, javascript: None
) -> None:
    ways = {way: (PythonClient(), JavaScriptClient()) for way in WAYS}
    clients: list[StockClient] = [client for both in ways.values() for client in both]
    async with Gateway(redis_url, workers=2, GATEWAY_DRAIN_S="1") as gateway:
        await asyncio.gather(*(one.connect(gateway.url, way) for way, both in ways.items() for one in both))
        os.kill(gateway.master_pid, signal.SIGHUP)
        # A CLOSE packet over polling would be final for python-engineio's clients.
        await until(lambda: all(client.connects >= 2 for client in clients), 40, "both are connected again")
        for number, client in enumerate(clients):
            assert (await client.call("join", {"username": f"user-{number}", "room": room}))["ok"] is True
        await asyncio.gather(*(client.close() for client in clients))
    gc.collect()  # so that the warning is given here, where it is known
