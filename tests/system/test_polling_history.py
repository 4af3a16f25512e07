"""What waits for a client that polls comes in payloads that stock clients take, python-engineio's among them."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.gateways import Gateway
from tests.support.opener import Opener
from tests.support.stock_clients import JavaScriptClient, PythonClient, StockClient
from tests.support.waiting import until

HISTORY = 100


@pytest.mark.parametrize("kind", [PythonClient, JavaScriptClient], ids=["python", "javascript"])
async def test_a_stock_client_that_polls_gets_a_whole_history_on_one_connection(
    gateway: Gateway, kind: type[StockClient], room: str, connect: Opener, javascript: None
) -> None:
    talker = await connect(gateway.url)
    await talker.join("talker", room)
    sent = [
        (await asyncio.gather(*(talker.send(room, f"{batch}-{n}") for n in range(10))))[-1]["id"]
        for batch in range(HISTORY // 10)
    ]
    client = kind()
    await client.connect(gateway.url, "polling")
    answer = await client.call("join", {"username": "reader", "room": room})
    assert answer["id"] == sent[-1]
    await until(
        lambda: len([data for data in client.received if "id" in data]) == HISTORY, what="the history"
    )
    assert client.connects == 1
    await client.close()
