"""Engine.IO v4 as its protocol document has it, on the bare engine and beneath Socket.IO."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator

import aiohttp
import pytest

from tests.system.conformance.echo_server import EchoServer, echo_server
from tests.system.conformance.wire import (
    SEPARATOR,
    Polling,
    RawSocket,
    Socket,
    client_frame,
    half_request,
)
from tests.waiting import stays

pytestmark = pytest.mark.system

INTERVAL_S, TIMEOUT_S = 0.3, 0.2
WHOLE_S = INTERVAL_S + TIMEOUT_S
EARLY_S = 0.05
"""How much earlier a ping may be than three intervals: the first began before the handshake was read."""
SLACK_S = 0.3
"""How late a heartbeat may be on a machine that does other things too."""
QUIET_S = 0.1
UNKNOWN = '{"code":1,"message":"Session ID unknown"}'


@pytest.fixture(scope="module", params=["engine.io", "socket.io"])
def any_echo(request: pytest.FixtureRequest) -> Iterator[EchoServer]:
    """Each protocol's echo app in turn: what Engine.IO promises holds under both."""
    with echo_server(request.param) as server:
        yield server
        assert server.is_running()
        assert "Traceback" not in server.log(), server.log()


@pytest.fixture
def address(any_echo: EchoServer) -> str:
    """The URL of the engine."""
    return any_echo.address


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoServer]:
    """The echo app that sends every Engine.IO message back."""
    with echo_server("engine.io") as server:
        yield server
        assert server.is_running()
        assert "Traceback" not in server.log(), server.log()


@pytest.fixture
def echo_address(echo: EchoServer) -> str:
    """The URL of the engine that echoes."""
    return echo.address


async def status_of(web: aiohttp.ClientSession, method: str, address: str, query: dict[str, str]) -> int:
    """The status of a request without a body."""
    async with web.request(method, address, params=query) as response:
        return response.status


async def is_refused(web: aiohttp.ClientSession, address: str, **query: str) -> bool:
    """Whether a WebSocket is not opened, or closed before anything is sent over it."""
    try:
        socket = await Socket.open(web, address, **query)
    except aiohttp.WSServerHandshakeError as error:
        return error.status == 400
    await socket.closed_after_s()
    return True


async def quiet(for_s: float) -> None:
    """Says and asks nothing for so long, where silence is what is tried."""
    await stays(lambda: True, for_s)


def check_handshake(handshake: dict[str, object], upgrades: list[str]) -> None:
    """The fields of the handshake packet, whole numbers of milliseconds, and no field more."""
    assert set(handshake) == {"sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"}
    assert isinstance(handshake["sid"], str)
    assert handshake["upgrades"] == upgrades
    assert json.dumps(handshake["pingInterval"]) == "300"
    assert json.dumps(handshake["pingTimeout"]) == "200"
    assert json.dumps(handshake["maxPayload"]) == "1000000"


# -- handshake


async def test_polling_opens_a_session(web: aiohttp.ClientSession, address: str) -> None:
    check_handshake((await Polling.open(web, address)).handshake, ["websocket"])


async def test_polling_is_answered_as_plain_text(web: aiohttp.ClientSession, address: str) -> None:
    async with web.get(address, params={"EIO": "4", "transport": "polling"}) as response:
        assert (response.content_type, str(response.charset).lower()) == ("text/plain", "utf-8")


async def test_websocket_opens_a_session(web: aiohttp.ClientSession, address: str) -> None:
    socket = await Socket.open(web, address)
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
    session = await Polling.open(web, echo_address)
    assert await session.post(body) == (200, "ok")
    assert await session.get() == (200, body)


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
    session = await Polling.open(web, address)
    first = asyncio.create_task(session.get())
    await asyncio.wait({first}, timeout=0.02)
    assert (await session.get(t="second"))[0] == 400
    assert await first == (200, "1")
    assert await session.is_closed()


async def test_polling_closes_upon_two_posts_at_once(
    web: aiohttp.ClientSession, any_echo: EchoServer, address: str
) -> None:
    session = await Polling.open(web, address)
    target = f"{any_echo.path}?EIO=4&transport=polling&sid={session.sid}"
    head = f"POST {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n"
    async with half_request(any_echo.port, head, b"4half"):
        await quiet(QUIET_S)
        assert (await session.post("4second"))[0] == 400
        assert (await session.get())[1] in ("1", UNKNOWN)
        assert await session.is_closed()


async def test_polling_closes_upon_a_cancelled_poll(web: aiohttp.ClientSession, address: str) -> None:
    session = await Polling.open(web, address)
    poll = asyncio.create_task(session.get())
    await asyncio.wait({poll}, timeout=0.02)
    poll.cancel()
    await asyncio.wait({poll})
    assert (await session.get())[0] == 400


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


async def test_websocket_joins_fragments(echo: EchoServer) -> None:
    async with await RawSocket.open(echo.port, "/engine.io/?EIO=4&transport=websocket") as socket:
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


# -- heartbeat


async def test_polling_is_pinged(web: aiohttp.ClientSession, address: str) -> None:
    session = await Polling.open(web, address)
    for _ in range(3):
        assert await session.get() == (200, "2")
        assert await session.post("3") == (200, "ok")


async def test_polling_ends_when_no_pong_comes(web: aiohttp.ClientSession, address: str) -> None:
    start_s = time.monotonic()
    session = await Polling.open(web, address)
    assert await session.get() == (200, "2")
    assert (await session.get())[1] in ("1", UNKNOWN)
    assert WHOLE_S <= time.monotonic() - start_s < WHOLE_S + SLACK_S
    assert await session.is_closed()


async def test_a_session_that_nobody_polls_ends(web: aiohttp.ClientSession, address: str) -> None:
    session = await Polling.open(web, address)
    await quiet(WHOLE_S)
    assert await session.is_closed()


async def test_websocket_is_pinged_in_the_interval(web: aiohttp.ClientSession, address: str) -> None:
    socket = await Socket.open_session(web, address)
    start_s = time.monotonic()
    for _ in range(3):
        assert await socket.receive() == "2"
        await socket.send("3")
    assert 3 * INTERVAL_S - EARLY_S <= time.monotonic() - start_s < 3 * (INTERVAL_S + SLACK_S)
    await socket.close()


async def test_websocket_ends_when_no_pong_comes(web: aiohttp.ClientSession, address: str) -> None:
    start_s = time.monotonic()
    socket = await Socket.open_session(web, address)
    await socket.closed_after_s()
    assert WHOLE_S <= time.monotonic() - start_s < WHOLE_S + SLACK_S


async def test_other_packets_are_no_pong(web: aiohttp.ClientSession, echo_address: str) -> None:
    socket = await Socket.open_session(web, echo_address)
    assert await socket.receive() == "2"
    await socket.send("4still here")
    assert await socket.closed_after_s() < TIMEOUT_S + SLACK_S


# -- close


async def test_close_ends_a_polling_session(web: aiohttp.ClientSession, address: str) -> None:
    session = await Polling.open(web, address)
    waiting = asyncio.create_task(session.get())
    await asyncio.wait({waiting}, timeout=0.02)
    assert (await session.post("1"))[0] == 200
    assert await waiting == (200, "6")
    assert await session.is_closed()


async def test_close_ends_a_session_that_does_not_poll(web: aiohttp.ClientSession, address: str) -> None:
    session = await Polling.open(web, address)
    assert (await session.post("1"))[0] == 200
    await session.get()
    assert await session.is_closed()


async def test_close_ends_a_websocket(web: aiohttp.ClientSession, address: str) -> None:
    socket = await Socket.open_session(web, address)
    await socket.send("1")
    await socket.closed_after_s()


async def test_what_was_sent_before_a_close_is_handled(web: aiohttp.ClientSession, echo_address: str) -> None:
    socket = await Socket.open_session(web, echo_address)
    await socket.send("4last", "1")
    assert await socket.receive() == "4last"
    await socket.closed_after_s()


# -- upgrade


async def upgraded(web: aiohttp.ClientSession, address: str) -> tuple[Polling, Socket]:
    """A session that moved from polling to WebSocket."""
    session = await Polling.open(web, address)
    socket = await session.upgrade()
    await socket.send("2probe")
    assert await socket.receive() == "3probe"
    await socket.send("5")
    return session, socket


async def test_a_session_upgrades(web: aiohttp.ClientSession, echo_address: str) -> None:
    session = await Polling.open(web, echo_address)
    socket = await session.upgrade()
    await socket.send("2probe")
    assert await socket.receive() == "3probe"
    assert await session.get() == (200, "6")
    await socket.send("5", "4hello")
    assert await socket.receive() == "4hello"
    await socket.close()


async def test_a_probe_ends_the_waiting_poll(web: aiohttp.ClientSession, address: str) -> None:
    session = await Polling.open(web, address)
    waiting = asyncio.create_task(session.get())
    await asyncio.wait({waiting}, timeout=0.02)
    socket = await session.upgrade()
    await socket.send("2probe")
    assert await socket.receive() == "3probe"
    assert await waiting == (200, "6")
    await socket.close()


async def test_an_upgraded_session_is_pinged_next(web: aiohttp.ClientSession, address: str) -> None:
    """Nothing comes between the upgrade and the first message or ping."""
    _, socket = await upgraded(web, address)
    assert await socket.receive() == "2"
    await socket.close()


async def test_an_upgraded_session_refuses_polling(web: aiohttp.ClientSession, address: str) -> None:
    session, socket = await upgraded(web, address)
    await socket.receive()
    assert (await session.get())[0] == 400
    assert (await session.post("3"))[0] == 400
    await socket.send("3")
    assert await socket.receive() == "2"
    await socket.close()


async def test_a_second_websocket_does_no_harm(web: aiohttp.ClientSession, echo_address: str) -> None:
    session, socket = await upgraded(web, echo_address)
    assert await is_refused(web, echo_address, sid=session.sid)
    await socket.send("4hello")
    assert await socket.receive_answering() == "4hello"
    await socket.close()


async def test_a_second_websocket_of_a_websocket_session_is_closed(
    web: aiohttp.ClientSession, echo_address: str
) -> None:
    socket = await Socket.open(web, echo_address)
    packet = await socket.receive()
    assert isinstance(packet, str)
    sid = json.loads(packet[1:])["sid"]
    assert await is_refused(web, echo_address, sid=sid)
    assert await status_of(web, "GET", echo_address, {"EIO": "4", "transport": "polling", "sid": sid}) == 400
    await socket.send("4hello")
    assert await socket.receive_answering() == "4hello"
    await socket.close()


async def test_a_probing_websocket_that_goes_away_leaves_the_session(
    web: aiohttp.ClientSession, echo_address: str
) -> None:
    session = await Polling.open(web, echo_address)
    socket = await session.upgrade()
    await socket.send("2probe")
    assert await socket.receive() == "3probe"
    await socket.close()
    assert await session.post("4on we go") == (200, "ok")
    assert await session.get() == (200, "4on we go")


async def test_a_session_upgrades_at_the_second_try(web: aiohttp.ClientSession, echo_address: str) -> None:
    session = await Polling.open(web, echo_address)
    first = await session.upgrade()
    await first.close()
    second = await session.upgrade()
    await second.send("2probe")
    assert await second.receive() == "3probe"
    await second.send("5", "4hello")
    assert await second.receive() == "4hello"
    await second.close()


@pytest.mark.parametrize("packet", ["2", "2other", "4hello", "5", "", b"2probe"])
async def test_a_websocket_that_does_not_probe_is_closed(
    web: aiohttp.ClientSession, echo_address: str, packet: str | bytes
) -> None:
    session = await Polling.open(web, echo_address)
    socket = await session.upgrade()
    await socket.send(packet)
    await socket.closed_after_s()
    assert await session.post("4on we go") == (200, "ok")
    assert await session.get() == (200, "4on we go")


async def test_what_is_sent_during_the_upgrade_comes_once(
    web: aiohttp.ClientSession, echo_address: str
) -> None:
    """What a POST asked for while the probe was under way arrives over one transport, in order."""
    session = await Polling.open(web, echo_address)
    assert await session.post("4before") == (200, "ok")
    socket = await session.upgrade()
    assert await session.post("4while") == (200, "ok")
    await socket.send("2probe")
    assert await socket.receive() == "3probe"
    assert await session.post("4after the probe") == (200, "ok")
    _, polled = await session.get()
    await socket.send("5", "4over")
    messages = [packet for packet in polled.split(SEPARATOR) if packet[0] == "4"]
    while messages[-1:] != ["4over"]:
        message = await socket.receive_answering()
        assert isinstance(message, str)
        messages.append(message)
    assert messages == ["4before", "4while", "4after the probe", "4over"]
    await socket.close()


async def test_an_upgrade_in_one_piece_is_understood(web: aiohttp.ClientSession, echo: EchoServer) -> None:
    """The probe, the upgrade and the first message may arrive in one piece, even with the handshake."""
    session = await Polling.open(web, echo.address)
    target = f"/engine.io/?EIO=4&transport=websocket&sid={session.sid}"
    frames = b"".join(client_frame(1, packet) for packet in (b"2probe", b"5", b"4hello"))
    async with await RawSocket.open(echo.port, target, behind=frames) as socket:
        assert await socket.receive() == (1, b"3probe")
        assert await socket.receive() == (1, b"4hello")
