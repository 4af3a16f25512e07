"""The clients that people use, Node's and Python's, by each way of connecting, on four workers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.gateways import Gateway
from tests.support.opener import Opener
from tests.support.steady_sender import SteadySender
from tests.support.stock_clients import JavaScriptClient, PythonClient, StockClient, Way
from tests.support.waiting import until

CLIENTS: dict[str, type[StockClient]] = {"python": PythonClient, "javascript": JavaScriptClient}
ENDS_AS = {"polling": "polling", "upgrade": "websocket", "websocket": "websocket"}


@pytest.fixture(params=["polling", "upgrade", "websocket"])
def way(request: pytest.FixtureRequest) -> Way:
    """How the client connects."""
    chosen: Way = request.param
    return chosen


@pytest.fixture(params=CLIENTS)
async def client(request: pytest.FixtureRequest, javascript: None) -> AsyncIterator[StockClient]:
    """A stock client that is not connected yet."""
    made = CLIENTS[request.param]()
    yield made
    await made.close()


async def test_it_joins_talks_and_leaves(
    client: StockClient, way: Way, gateway: Gateway, room: str, connect: Opener
) -> None:
    other = await connect(gateway.url)
    await other.join("other", room)
    before = await other.send(room, "before")
    await client.connect(gateway.url, way)
    joined = await client.call("join", {"username": "stock", "room": room})
    assert joined == {"ok": True, "room": room, "id": before["id"], "count": 2}
    assert [data["message"] for data in _stored(client)] == ["before"]
    sent = await client.call(
        "send", {"username": "stock", "room": room, "message": "from the stock client 👋"}
    )
    await other.send(room, "answer")
    await until(
        lambda: [data["id"] for data in _stored(client)] == other.ids(room) and len(other.ids(room)) == 3,
        what="its own message and the answer, as the other got them",
    )
    assert _stored(client)[1]["id"] == sent["id"]
    assert await client.call("leave", {"username": "stock", "room": room}) == {"ok": True}
    await until(lambda: other.notices(room)[-1:] == ["stock has left the room"], what="the leave is told")
    assert client.connects == 1


async def test_it_is_told_of_errors(client: StockClient, way: Way, gateway: Gateway, room: str) -> None:
    await client.connect(gateway.url, way)
    answer = await client.call("send", {"username": "stock", "room": room, "message": "x"})
    await client.emit("send", {"username": "stock", "room": room, "message": "x"})
    await until(lambda: len(client.errors) == 2, what="an error event for each")
    assert {answer["code"], *(error["code"] for error in client.errors)} == {"not_joined"}
    assert (await client.call("join", {"username": "stock", "room": room}))["ok"] is True


async def test_nothing_is_lost_or_doubled_while_it_connects_under_traffic(
    client: StockClient, way: Way, gateway: Gateway, room: str
) -> None:
    async with SteadySender(gateway.url, room, rate=100) as sender:
        await client.connect(gateway.url, way)
        joined = await client.call("join", {"username": "stock", "room": room})
        at_join = int(joined["id"].split(":")[1])
        await until(lambda: client.transport == ENDS_AS[way], what=f"it ends up on {ENDS_AS[way]}")
        await until(lambda: sender.acknowledged >= at_join + 60, what="sixty messages more")
        last = await sender.stop()
        await until(lambda: _seqs(client)[-1:] == [last], what="the last message")
    seqs = _seqs(client)
    assert seqs == list(range(seqs[0], last + 1))
    assert client.connects == 1


async def test_ten_of_each_talk_at_once(gateway: Gateway, room: str, way: Way) -> None:
    clients = [PythonClient() for _ in range(10)]
    await asyncio.gather(*(each.connect(gateway.url, way) for each in clients))
    await asyncio.gather(
        *(each.call("join", {"username": f"u{n}", "room": room}) for n, each in enumerate(clients))
    )
    await asyncio.gather(
        *(each.call("send", {"room": room, "message": f"{n}"}) for n, each in enumerate(clients))
    )
    await until(lambda: all(len(_seqs(each)) == 10 for each in clients), what="ten messages each")
    assert {tuple(_seqs(each)) for each in clients} == {tuple(range(1, 11))}
    for each in clients:
        await each.close()


def _stored(client: StockClient) -> list[dict[str, Any]]:
    """What it received but notices: one of somebody who came just before may arrive, or not."""
    return [data for data in client.received if "id" in data]


def _seqs(client: StockClient) -> list[int]:
    return [int(data["id"].split(":")[1]) for data in _stored(client)]
