"""Every event is answered, however it is written; every handshake is answered, and a refused one leaves a trace."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import aiohttp
import orjson
import pytest

from tests.support.gateways import Gateway
from tests.support.opener import Opener
from tests.support.stock_clients import JavaScriptClient, PythonClient, Way, buffer
from tests.support.waiting import until

LIMIT_S = 10.0
FILE = '{"_placeholder":true,"num":0}'


class RawSocket:
    """A WebSocket that sends packets as they are given, and returns what it is answered."""

    def __init__(self, web: aiohttp.ClientWebSocketResponse) -> None:
        self._web = web

    async def answer(self, *packets: str | bytes) -> dict[str, Any]:
        """The one argument of the acknowledgement 7, which the packets ask for."""
        for packet in packets:
            await (self._web.send_bytes(packet) if isinstance(packet, bytes) else self._web.send_str(packet))
        while not (got := await self._web.receive_str(timeout=LIMIT_S)).startswith("437["):
            assert not got.startswith("41"), "disconnected"
        answer: dict[str, Any] = json.loads(got[3:])[0]
        return answer


@pytest.fixture
async def web() -> Any:
    """An HTTP client that does not undo compression."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session


async def raw_socket(web: aiohttp.ClientSession, gateway: Gateway, **how: Any) -> RawSocket:
    """A session that has connected to `/`."""
    address = f"{gateway.url}/socket.io/?EIO=4&transport=websocket"
    socket = await web.ws_connect(address, max_msg_size=0, **how)
    assert (await socket.receive_str(timeout=LIMIT_S)).startswith("0")
    await socket.send_str("40")
    assert (await socket.receive_str(timeout=LIMIT_S)).startswith("40")
    return RawSocket(socket)


# -- events


@pytest.mark.parametrize(
    ("packets", "code"),
    [
        (('42/,7["send",{"room":"ROOM","message":"m"}]',), None),
        (('42/?token=x,7["send",{"room":"ROOM","message":"m"}]',), None),
        (('451-7["send",{"room":"ROOM","message":"m"},FILE]', b"\x01"), None),
        (('451-/,7["send",{"room":"ROOM","message":"m","file":FILE}]', b"\x01"), None),
        (('451-7["send",{"room":"ROOM","message":"m"},FILE]', "bAQID"), None),
        (('451-/,7["send",{"room":"ROOM","message":"m"},FILE]', "b"), None),
        (('450-7["send",{"room":"ROOM","message":"m"}]',), None),
        (('451-7["send",{"room":"ROOM","message":FILE}]', b"\x01"), "bad_request"),
        (('451-7["send",FILE]', b"\x01"), "bad_request"),
        (('451-7["upload",FILE]', b"\x01"), "bad_request"),
        (('42/,7["upload",{}]',), "bad_request"),
        (('42/,7["join"]',), "bad_request"),
        (("427[7]",), "bad_request"),
        (('42/,7["members",{"room":"ROOM"}]',), None),
        (('42/,7["leave",{"room":"ROOM"}]',), None),
    ],
    ids=lambda value: str(value)[:70],
)
async def test_an_event_is_answered_however_it_is_written(
    web: aiohttp.ClientSession,
    gateway: Gateway,
    room: str,
    packets: tuple[str | bytes, ...],
    code: str | None,
) -> None:
    socket = await raw_socket(web, gateway)
    joined = await socket.answer(f'427["join",{{"username":"ann","room":"{room}"}}]')
    assert joined["ok"]
    written = [
        one.replace("ROOM", room).replace("FILE", FILE) if isinstance(one, str) else one for one in packets
    ]
    answer = await socket.answer(*written)
    assert answer.get("code") == code
    assert answer["ok"] is (code is None)
    assert (await socket.answer('427["nonsense"]'))["code"] == "bad_request", "the connection goes on"


@pytest.mark.parametrize("way", ["polling", "upgrade", "websocket"])
async def test_stock_clients_may_send_binary_beside_a_message(
    gateway: Gateway, room: str, connect: Opener, javascript: None, way: Way
) -> None:
    other = await connect(gateway.url)
    await other.join("other", room)
    message = {"room": room, "message": "with a file"}
    async with JavaScriptClient() as plain, JavaScriptClient() as text_only:
        await plain.connect(gateway.url, way)
        await text_only.connect(gateway.url, way, forceBase64=True)
        for client in (plain, text_only):
            assert (await client.call("join", {"username": "js", "room": room}))["ok"]
            assert (await client.call("send", message, buffer(b"\x00\xff")))["ok"]
            assert (await client.call("send", {**message, "file": buffer(b"")}))["ok"]
            refused = await client.call("send", {"room": room, "message": buffer(b"x")})
            assert refused["code"] == "bad_request"
            assert client.connects == 1
    python = PythonClient()
    await python.connect(gateway.url, way)
    assert (await python.call("join", {"username": "py", "room": room}))["ok"]
    assert (await python.call("send", (message, b"\x00\xff")))["ok"]
    await python.close()
    await until(lambda: other.messages(room) == ["with a file"] * 5, what="the messages")


# -- handshakes


@pytest.mark.parametrize(
    ("offered", "chosen"), [((), None), (("chat",), "chat"), (("v2.chat", "v1.chat"), "v2.chat")]
)
async def test_the_first_sub_protocol_that_is_offered_is_chosen(
    web: aiohttp.ClientSession, gateway: Gateway, offered: tuple[str, ...], chosen: str | None
) -> None:
    address = f"{gateway.url}/socket.io/?EIO=4&transport=websocket"
    async with web.ws_connect(address, protocols=offered) as socket:
        assert socket.protocol == chosen
        assert (await socket.receive_str(timeout=LIMIT_S)).startswith("0")


@pytest.mark.parametrize("way", ["upgrade", "websocket"])
async def test_the_stock_client_connects_with_protocols(
    gateway: Gateway, room: str, javascript: None, way: Way
) -> None:
    async with JavaScriptClient() as client:
        await client.connect(gateway.url, way, protocols=["chat", "other"])
        await until(lambda: client.transport == "websocket", what="it ends up on WebSocket")
        assert (await client.call("join", {"username": "js", "room": room}))["ok"]


@pytest.mark.parametrize(
    ("method", "query", "status", "code"),
    [
        ("GET", "EIO=3&transport=polling", 400, 5),
        ("GET", "EIO=3&transport=websocket", 400, 5),
        ("GET", "transport=polling", 400, 5),
        ("GET", "EIO=4&transport=carrier-pigeon", 400, 0),
        ("GET", "EIO=4&transport=polling&sid=nobody", 400, 1),
        ("POST", "EIO=4&transport=polling", 400, 2),
        ("GET", "EIO=4&transport=websocket", 400, 3),
    ],
)
async def test_a_refusal_is_json_as_the_reference_server_gives_it(
    web: aiohttp.ClientSession, gateway: Gateway, method: str, query: str, status: int, code: int
) -> None:
    async with web.request(method, f"{gateway.url}/socket.io/?{query}") as response:
        assert (response.status, response.content_type) == (status, "application/json")
        body = orjson.loads(await response.read())
    assert (set(body), body["code"]) == ({"code", "message"}, code)


# -- compression of polling answers


@pytest.fixture
async def long_history(gateway: Gateway, room: str, connect: Opener) -> str:
    """A room with 40 KB of history."""
    member = await connect(gateway.url)
    await member.join("ann", room)
    await asyncio.gather(*(member.send(room, "long " * 400) for _ in range(20)))
    return room


@pytest.mark.parametrize(
    ("accepted", "is_compressed"),
    [
        ("gzip", True),
        ("deflate, gzip;q=0.5", True),
        ("GZIP", True),
        ("gzip;q=0", False),
        ("deflate", False),
        ("identity", False),
    ],
)
async def test_long_polling_answers_are_compressed_for_who_accepts_it(
    web: aiohttp.ClientSession, gateway: Gateway, long_history: str, accepted: str, is_compressed: bool
) -> None:
    headers = {"Accept-Encoding": accepted}
    address = f"{gateway.url}/socket.io/?EIO=4&transport=polling"
    async with web.get(address, headers=headers) as response:
        assert "Content-Encoding" not in response.headers, "short ones never are"
        handshake = await response.read()
    address += f"&sid={orjson.loads(handshake[1:])['sid']}"
    join = orjson.dumps(["join", {"username": "ben", "room": long_history}]).decode()
    for packet in ("40", f"42{join}"):
        async with web.post(address, data=packet) as response:
            assert response.status == 200
    received, seen = "", set()
    while received.count('"receive"') < 20:
        async with web.get(address, headers=headers) as response:
            body = await response.read()
            assert response.headers["Content-Length"] == str(len(body))
            is_gzip = response.headers.get("Content-Encoding") == "gzip"
        plain = gzip.decompress(body) if is_gzip else body
        received += plain.decode()
        seen.add((len(plain) >= 1024, is_gzip))
        assert not is_gzip or len(body) < len(plain) / 4
    assert (True, is_compressed) in seen
    assert not seen & {(True, not is_compressed), (False, True)}
