"""Engine.IO v4 as its protocol document has it: the handshake, and messages over either transport."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from tests.support.waiting import until
from tests.system.conformance.echo_server import EchoServer
from tests.system.conformance.raw import RawSocket, client_frame, half_request
from tests.system.conformance.wire import (
    QUIET_S,
    SEPARATOR,
    Polling,
    Socket,
    is_refused,
    status_of,
)


@pytest.fixture
def address(engine: EchoServer) -> str:
    """The URL of the engine, under each protocol in turn."""
    return engine.address


@pytest.fixture
def brisk_address(brisk_engine: EchoServer) -> str:
    """The same with the echo app's own times."""
    return brisk_engine.address


@pytest.fixture
def echo_address(engineio_echo: EchoServer) -> str:
    """The URL of the engine that echoes."""
    return engineio_echo.address


def check_handshake(handshake: dict[str, object], upgrades: list[str]) -> None:
    """The fields of the handshake packet, whole numbers of milliseconds, and no field more."""
    assert set(handshake) == {"sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"}
    assert isinstance(handshake["sid"], str)
    assert handshake["upgrades"] == upgrades
    assert json.dumps(handshake["pingInterval"]) == "300"
    assert json.dumps(handshake["pingTimeout"]) == "200"
    assert json.dumps(handshake["maxPayload"]) == "1000000"


# -- handshake


async def test_polling_opens_a_session(web: aiohttp.ClientSession, brisk_address: str) -> None:
    check_handshake((await Polling.open(web, brisk_address)).handshake, ["websocket"])


async def test_polling_is_answered_as_plain_text(web: aiohttp.ClientSession, address: str) -> None:
    async with web.get(address, params={"EIO": "4", "transport": "polling"}) as response:
        assert (response.content_type, str(response.charset).lower()) == ("text/plain", "utf-8")


async def test_websocket_opens_a_session(web: aiohttp.ClientSession, brisk_address: str) -> None:
    socket = await Socket.open(web, brisk_address)
    packet = await socket.receive()
    assert isinstance(packet, str)
    assert packet[0] == "0"
    check_handshake(json.loads(packet[1:]), [])
    await socket.close()


async def test_sessions_have_ids_of_their_own(web: aiohttp.ClientSession, address: str) -> None:
    ids = {(await Polling.open(web, address)).sid for _ in range(20)}
    assert len(ids) == 20


@pytest.mark.parametrize("query", [{}, {"EIO": "abc"}, {"EIO": "3"}, {"EIO": ""}])
async def test_polling_needs_the_protocol_version(
    web: aiohttp.ClientSession, address: str, query: dict[str, str]
) -> None:
    assert await status_of(web, "GET", address, {"transport": "polling", **query}) == 400


@pytest.mark.parametrize(
    "query", [{}, {"transport": "abc"}, {"transport": ""}, {"transport": "webtransport"}]
)
async def test_polling_needs_a_transport(
    web: aiohttp.ClientSession, address: str, query: dict[str, str]
) -> None:
    assert await status_of(web, "GET", address, {"EIO": "4", **query}) == 400


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_only_get_opens_a_session(web: aiohttp.ClientSession, address: str, method: str) -> None:
    assert await status_of(web, method, address, {"EIO": "4", "transport": "polling"}) == 400


@pytest.mark.parametrize("version", ["", "abc", "3"])
async def test_websocket_needs_the_protocol_version(
    web: aiohttp.ClientSession, address: str, version: str
) -> None:
    assert await is_refused(web, address, EIO=version)


@pytest.mark.parametrize("transport", ["", "abc"])
async def test_websocket_needs_its_transport(
    web: aiohttp.ClientSession, address: str, transport: str
) -> None:
    assert await is_refused(web, address, transport=transport)


async def test_a_handshake_for_polling_gets_no_websocket(web: aiohttp.ClientSession, address: str) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await Socket.open(web, address, transport="polling")


async def test_websocket_transport_needs_a_websocket(web: aiohttp.ClientSession, address: str) -> None:
    assert await status_of(web, "GET", address, {"EIO": "4", "transport": "websocket"}) == 400


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_unknown_session_is_refused(web: aiohttp.ClientSession, address: str, method: str) -> None:
    query = {"EIO": "4", "transport": "polling", "sid": "nobody"}
    assert await status_of(web, method, address, query) == 400


async def test_an_unknown_session_gets_no_websocket(web: aiohttp.ClientSession, address: str) -> None:
    assert await is_refused(web, address, sid="nobody")


@pytest.mark.parametrize("missing", ["EIO", "transport"])
async def test_later_requests_need_the_whole_query(
    web: aiohttp.ClientSession, address: str, missing: str
) -> None:
    session = await Polling.open(web, address)
    query = {"EIO": "4", "transport": "polling", "sid": session.sid}
    del query[missing]
    assert await status_of(web, "GET", address, query) == 400


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
async def test_a_session_is_asked_by_get_and_post_only(
    web: aiohttp.ClientSession, address: str, method: str
) -> None:
    session = await Polling.open(web, address)
    assert (
        await status_of(web, method, address, {"EIO": "4", "transport": "polling", "sid": session.sid}) == 400
    )


# -- messages


@pytest.mark.parametrize(
    "body",
    [
        "4hello",
        SEPARATOR.join(("4test1", "4test2", "4test3")),
        SEPARATOR.join(("4hello", "bAQIDBA==")),
        SEPARATOR.join(("bAQIDBA==", "4in between", "b/+8=")),
        "4€ and 😀 and \x00",
        "4" + "x" * 900_000,
        SEPARATOR.join(f"4{number}" for number in range(500)),
        "b" + "AQID" * 200_000,
    ],
    ids=["text", "texts", "text, binary", "binary first", "beyond ASCII", "long", "many", "long binary"],
)
async def test_polling_carries(web: aiohttp.ClientSession, echo_address: str, body: str) -> None:
    """Many packets may come back in several polls."""
    session = await Polling.open(web, echo_address)
    assert await session.post(body) == (200, "ok")
    packets = await session.packets()
    while len(packets) < len(body.split(SEPARATOR)):
        packets += await session.packets()
    assert packets == body.split(SEPARATOR)


async def test_a_post_needs_no_content_type(web: aiohttp.ClientSession, echo_address: str) -> None:
    session = await Polling.open(web, echo_address)
    query = {"EIO": "4", "transport": "polling", "sid": session.sid}
    async with web.post(
        echo_address, params=query, data=b"4bare", skip_auto_headers=("Content-Type",)
    ) as response:
        assert await response.text() == "ok"
    assert await session.get() == (200, "4bare")


async def test_a_poll_waits_for_what_comes(web: aiohttp.ClientSession, echo_address: str) -> None:
    session = await Polling.open(web, echo_address)
    waiting = asyncio.create_task(session.get())
    done, _ = await asyncio.wait({waiting}, timeout=QUIET_S)
    assert not done
    await session.post("4late")
    assert await waiting == (200, "4late")


async def test_polling_closes_upon_an_invalid_packet(web: aiohttp.ClientSession, address: str) -> None:
    session = await Polling.open(web, address)
    assert (await session.post("abc"))[0] == 400
    assert await session.is_closed()


async def test_polling_closes_upon_two_polls_at_once(web: aiohttp.ClientSession, address: str) -> None:
    """Whichever comes second is refused, and the other one told."""
    session = await Polling.open(web, address)
    told, refused = sorted(await asyncio.gather(session.get(), session.get(t="second")))
    assert (told, refused[0]) == ((200, "1"), 400)
    assert await session.is_closed()


async def test_polling_closes_upon_two_posts_at_once(
    web: aiohttp.ClientSession, engine: EchoServer, address: str
) -> None:
    session = await Polling.open(web, address)
    target = f"{engine.path}?EIO=4&transport=polling&sid={session.sid}"
    head = f"POST {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n"

    async def is_refused() -> bool:
        return (await session.post("3"))[0] == 400

    async with half_request(engine.port, head, b"4half"):
        await until(is_refused, what="a second POST is refused, once the half one has arrived")
        await session.ended()


async def test_polling_closes_upon_a_cancelled_poll(web: aiohttp.ClientSession, address: str) -> None:
    session = await Polling.open(web, address)

    async def is_refused() -> bool:
        poll = asyncio.create_task(session.get())
        await asyncio.wait({poll}, timeout=QUIET_S)
        if poll.cancel():
            await asyncio.wait({poll})
            return False
        return poll.result()[0] == 400

    await until(is_refused, what="a poll is refused, once one was cancelled that had arrived")


@pytest.mark.parametrize(
    "message",
    ["4hello", b"\x01\x02\x03\x04", b"", "4", "4€ and 😀 and \x00", "4" + "x" * 900_000, bytes(900_000)],
    ids=["text", "binary", "empty binary", "empty text", "beyond ASCII", "long", "long binary"],
)
async def test_websocket_carries(web: aiohttp.ClientSession, echo_address: str, message: str | bytes) -> None:
    socket = await Socket.open_session(web, echo_address)
    await socket.send(message)
    assert await socket.receive_answering() == message
    await socket.close()


async def test_websocket_keeps_the_order(web: aiohttp.ClientSession, echo_address: str) -> None:
    socket = await Socket.open_session(web, echo_address)
    messages = [f"4{number}" if number % 3 else number.to_bytes(2) for number in range(1000)]
    await socket.send(*messages)
    assert [await socket.receive_answering() for _ in messages] == messages
    await socket.close()


async def test_websocket_joins_fragments(engineio_echo: EchoServer) -> None:
    async with await RawSocket.open(engineio_echo.port, "/engine.io/?EIO=4&transport=websocket") as socket:
        await socket.receive()
        for number, piece in enumerate((b"4a", "\u20ac".encode()[:1], "\u20ac".encode()[1:], b"z")):
            socket.write(client_frame(1 if number == 0 else 0, piece, is_final=number == 3))
            socket.write(client_frame(9, b"between"))
        frames = [await socket.receive() for _ in range(5)]
    assert frames == [(10, b"between")] * 3 + [(1, "4a\u20acz".encode()), (10, b"between")]


async def test_websocket_closes_upon_an_invalid_packet(web: aiohttp.ClientSession, address: str) -> None:
    socket = await Socket.open_session(web, address)
    await socket.send("abc")
    await socket.closed_after_s()
