"""Two gateways on one Redis by their prefixes, and one of them at paths and for origins of its own."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest
import pytest_asyncio
import socketio

from tests.support.clients import Member
from tests.support.gateways import Gateway, fetch_json
from tests.support.opener import Opener
from tests.support.stock_clients import JavaScriptClient, PythonClient, StockClient, Way
from tests.support.waiting import until

ORIGIN = "https://chat.example.org"
PATH = "/apps/chat/ws/v1"


class Two:
    """The gateways, and the prefixes of their names in Redis."""

    def __init__(self, redis_url: str) -> None:
        self.moved_prefix, self.plain_prefix = f"a-{uuid.uuid4().hex[:8]}:", f"b-{uuid.uuid4().hex[:8]}:"
        self.moved = Gateway(
            redis_url, workers=1, GATEWAY_PREFIX=self.moved_prefix, GATEWAY_ORIGINS=ORIGIN,
            GATEWAY_PATH="ws/v1/", GATEWAY_PATH_PREFIX="/apps/chat", GATEWAY_LOG_FORMAT="json",
        )  # fmt: skip
        self.plain = Gateway(
            redis_url, workers=1, GATEWAY_PREFIX=self.plain_prefix, GATEWAY_PREFIX_HISTORY="on"
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def two(redis_url: str) -> AsyncIterator[Two]:
    """Both, on the same database."""
    two = Two(redis_url)
    await asyncio.gather(two.moved.__aenter__(), two.plain.__aenter__())
    yield two
    await asyncio.gather(two.moved.__aexit__(None, None, None), two.plain.__aexit__(None, None, None))


@pytest.fixture
async def ann(two: Two) -> AsyncIterator[PythonClient]:
    """A client of the gateway whose paths are moved."""
    client = PythonClient()
    await client.connect(two.moved.url, "websocket", PATH)
    yield client
    await client.close()


@pytest.fixture
async def ben(two: Two, connect: Opener) -> Member:
    """A client of the other gateway."""
    return await connect(two.plain.url)


async def test_two_gateways_with_prefixes_do_not_hear_each_other(
    ann: PythonClient, ben: Member, room: str, two: Two, store: Any
) -> None:
    assert (await ann.call("join", {"username": "ann", "room": room}))["count"] == 1
    assert (await ben.join("ben", room))["count"] == 1
    assert (await ann.call("send", {"room": room, "message": "from ann"}))["ok"]
    assert (await ben.send(room, "from ben"))["ok"]
    assert (await ben.call("members", {"room": room}))["members"] == ["ben"]
    await until(lambda: _texts(ann) and ben.messages(room), what="each gets its own")
    assert (_texts(ann), ben.messages(room), ben.notices(room)) == (["from ann"], ["from ben"], [])
    found = {key.decode() async for key in store.scan_iter(f"*{room}*")}
    found = {key.rpartition(":members:")[0] + ":members" if ":members:" in key else key for key in found}
    a, b = two.moved_prefix, two.plain_prefix
    beside = {"meta", "members", "users"}
    assert found == {
        f"chat_history_{room}", *(f"{a}{{chat_history_{room}}}:{name}" for name in beside),
        f"{b}chat_history_{room}", *(f"{{{b}chat_history_{room}}}:{name}" for name in beside),
    }  # fmt: skip


async def test_other_processes_reach_a_gateway_by_the_channel_with_its_prefix(
    ann: PythonClient, ben: Member, room: str, two: Two, redis_url: str
) -> None:
    await ann.call("join", {"username": "ann", "room": room})
    await ben.join("ben", room)
    got: list[Any] = []
    ann._client.on("news", got.append)
    for prefix, text in (("", "for nobody"), (two.moved_prefix, "for ann"), (two.plain_prefix, "for ben")):
        outside = socketio.AsyncRedisManager(redis_url, write_only=True, channel=f"{prefix}socketio")
        await outside.emit("news", text, room=[room])
        await outside.redis.aclose()
    await until(lambda: got and _named(ben, "news"), what="each gets its own")
    assert (got, _named(ben, "news")) == (["for ann"], ["for ben"])


@pytest.mark.parametrize("kind", [PythonClient, JavaScriptClient])
@pytest.mark.parametrize(
    ("way", "path"), [("polling", PATH), ("upgrade", PATH), ("websocket", PATH), ("upgrade", f"{PATH}/")]
)
async def test_stock_clients_connect_at_the_path(
    two: Two, room: str, javascript: None, kind: type[StockClient], way: Way, path: str
) -> None:
    client = kind()
    await client.connect(two.moved.url, way, path)
    assert (await client.call("join", {"username": "stock", "room": room}))["ok"]
    await client.close()


@pytest.mark.parametrize("ending", ["", "/"])
async def test_all_paths_have_the_prefix_with_and_without_a_slash(two: Two, ending: str) -> None:
    async with aiohttp.ClientSession() as web:
        for path in ("/healthz", "/readyz", "/metrics", "/ws/v1"):
            query = "?EIO=4&transport=polling" if path == "/ws/v1" else ""
            async with web.get(f"{two.moved.url}/apps/chat{path}{ending}{query}") as response:
                assert (response.status, path) == (200, path)
            async with web.get(f"{two.moved.url}{path}{ending}{query}") as response:
                assert (response.status, path) == (404, path)
        async with web.get(f"{two.plain.url}/socket.io{ending}?EIO=4&transport=polling") as response:
            assert response.status == 200


async def test_a_refused_handshake_is_logged_and_counted(two: Two) -> None:
    address = f"{two.moved.url}{PATH}/?transport=polling&EIO="
    async with aiohttp.ClientSession() as web:
        async with web.get(f"{address}3", headers={"User-Agent": "socket.io-client 2.5"}) as response:
            assert response.status == 400
        # A page whose own name was bent to this address: its Origin is what stands in Host.
        for page, status in ((two.moved.url, 403), ("https://evil.example", 403), (ORIGIN, 200)):
            async with web.get(f"{address}4", headers={"Origin": page}) as response:
                assert (response.status, page) == (status, page)
                assert ("Access-Control-Allow-Origin" in response.headers) is (status == 200)
        async with web.get(f"{two.moved.url}/apps/chat/metrics") as response:
            metrics = await response.text()
    odd = f"GET {PATH}/?transport=polling&EIO=3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nUser-Agent: "
    reader, writer = await asyncio.open_connection("127.0.0.1", two.moved.port)
    writer.write(odd.encode() + b"\xff\r\n\r\n")  # no UTF-8, so no text that JSON could hold
    assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    writer.close()
    await until(lambda: two.moved.log().count('"request_refused"') >= 4, what="each has its line")
    lines = [orjson.loads(line) for line in two.moved.log().splitlines() if '"request_refused"' in line]
    assert [line["reason"] for line in lines] == [
        "unsupported_protocol_version", "origin_not_allowed", "origin_not_allowed", "unsupported_protocol_version",
    ]  # fmt: skip
    assert lines[-1]["agent"] == r"\udcff"
    assert (lines[0]["protocol_version"], lines[0]["agent"]) == ("3", "socket.io-client 2.5")
    assert (lines[0]["remote"], lines[0]["level"]) == ("127.0.0.1", "info")
    assert 'requests_refused_total{reason="unsupported_protocol_version",worker="0"} 1\n' in metrics
    assert 'requests_refused_total{reason="origin_not_allowed",worker="0"} 2\n' in metrics
    assert 'requests_refused_total{reason="draining",worker="0"} 0\n' in metrics


async def test_readiness_is_told_at_the_prefix(two: Two) -> None:
    status, told = await fetch_json(f"{two.moved.url}/apps/chat/readyz")
    assert (status, told["ready"]) == (200, True)


async def test_the_greeting_names_the_page_of_each(two: Two) -> None:
    assert f"open {two.moved.url}/apps/chat/ in two windows" in two.moved.log()
    assert f"open {two.plain.url}/ in two windows" in two.plain.log()


def _texts(client: PythonClient) -> list[str]:
    return [data["message"] for data in client.received if "id" in data]


def _named(member: Member, name: str) -> list[Any]:
    return [arrival.data for arrival in member.arrivals if arrival.name == name]
