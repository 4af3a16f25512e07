"""Engine.IO v4 as its protocol document has it: heartbeat, close, and the upgrade."""

from __future__ import annotations

import asyncio
import json
import time

import aiohttp
import pytest

from tests.support.waiting import tried_again, unless_held_up
from tests.system.conformance.echo_server import EchoServer
from tests.system.conformance.raw import RawSocket, client_frame
from tests.system.conformance.wire import (
    QUIET_S,
    SEPARATOR,
    SOON_S,
    UNKNOWN,
    Polling,
    Socket,
    is_refused,
    quiet,
    status_of,
)

INTERVAL_S, TIMEOUT_S = 0.3, 0.2
WHOLE_S = INTERVAL_S + TIMEOUT_S
SLACK_S = 0.3
"""How late a heartbeat may be on a machine that does other things too."""
HELD_UP_AT_MOST_S = 0.1
"""A test that must answer pings, or that counts the time, has to be awake but for this: half of `TIMEOUT_S`."""


@pytest.fixture
def brisk_address(brisk_engine: EchoServer) -> str:
    """The URL of the engine, under each protocol in turn, with pings as often as the protocol's suite expects."""
    return brisk_engine.address


@pytest.fixture
def address(engine: EchoServer) -> str:
    """The same with pings so seldom that none comes between."""
    return engine.address


@pytest.fixture
def echo_address(engineio_echo: EchoServer) -> str:
    """The URL of the engine that echoes."""
    return engineio_echo.address


# -- heartbeat


@tried_again()
async def test_polling_is_pinged(web: aiohttp.ClientSession, brisk_address: str) -> None:
    async with unless_held_up(HELD_UP_AT_MOST_S):
        session = await Polling.open(web, brisk_address)
        for _ in range(3):
            assert await session.get() == (200, "2")
            assert await session.post("3") == (200, "ok")


@tried_again()
async def test_polling_ends_when_no_pong_comes(web: aiohttp.ClientSession, brisk_address: str) -> None:
    async with unless_held_up(HELD_UP_AT_MOST_S):
        start_s = time.monotonic()
        session = await Polling.open(web, brisk_address)
        assert await session.get() == (200, "2")
        assert (await session.get())[1] in ("1", UNKNOWN)
        assert WHOLE_S <= time.monotonic() - start_s < WHOLE_S + SLACK_S
        assert await session.is_closed()


async def test_a_session_that_nobody_polls_ends(web: aiohttp.ClientSession, brisk_address: str) -> None:
    session = await Polling.open(web, brisk_address)
    await quiet(WHOLE_S + SLACK_S)
    assert await session.is_closed()


@tried_again()
async def test_websocket_is_pinged_in_the_interval(web: aiohttp.ClientSession, brisk_address: str) -> None:
    async with unless_held_up(HELD_UP_AT_MOST_S):
        start_s = time.monotonic()
        socket = await Socket.open_session(web, brisk_address)
        for _ in range(3):
            assert await socket.receive() == "2"
            await socket.send("3")
        assert 3 * INTERVAL_S <= time.monotonic() - start_s < 3 * (INTERVAL_S + SLACK_S)
        await socket.close()


@tried_again()
async def test_websocket_ends_when_no_pong_comes(web: aiohttp.ClientSession, brisk_address: str) -> None:
    async with unless_held_up(HELD_UP_AT_MOST_S):
        start_s = time.monotonic()
        socket = await Socket.open_session(web, brisk_address)
        await socket.closed_after_s()
        assert WHOLE_S <= time.monotonic() - start_s < WHOLE_S + SLACK_S


@tried_again()
async def test_other_packets_are_no_pong(web: aiohttp.ClientSession, brisk_engineio_echo: EchoServer) -> None:
    async with unless_held_up(HELD_UP_AT_MOST_S):
        socket = await Socket.open_session(web, brisk_engineio_echo.address)
        assert await socket.receive() == "2"
        await socket.send("4still here")
        assert await socket.closed_after_s() < TIMEOUT_S + SLACK_S


# -- close


@tried_again()
async def test_close_ends_a_polling_session(web: aiohttp.ClientSession, address: str) -> None:
    """The poll has to be at the server before the close: it has five times as long as it usually takes."""
    async with unless_held_up(SOON_S):
        session = await Polling.open(web, address)
        waiting = asyncio.create_task(session.get())
        await asyncio.wait({waiting}, timeout=QUIET_S)
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
    await asyncio.wait({waiting}, timeout=SOON_S)
    socket = await session.upgrade()
    await socket.send("2probe")
    assert await socket.receive() == "3probe"
    assert await waiting == (200, "6")
    await socket.close()


@tried_again()
async def test_an_upgraded_session_is_pinged_next(web: aiohttp.ClientSession, brisk_address: str) -> None:
    """Nothing comes between the upgrade and the first message or ping."""
    async with unless_held_up(HELD_UP_AT_MOST_S):
        _, socket = await upgraded(web, brisk_address)
        assert await socket.receive() == "2"
        await socket.close()


@tried_again()
async def test_an_upgraded_session_refuses_polling(web: aiohttp.ClientSession, brisk_address: str) -> None:
    async with unless_held_up(HELD_UP_AT_MOST_S):
        session, socket = await upgraded(web, brisk_address)
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


async def test_an_upgrade_in_one_piece_is_understood(
    web: aiohttp.ClientSession, engineio_echo: EchoServer
) -> None:
    """The probe, the upgrade and the first message may arrive in one piece, even with the handshake."""
    session = await Polling.open(web, engineio_echo.address)
    target = f"/engine.io/?EIO=4&transport=websocket&sid={session.sid}"
    frames = b"".join(client_frame(1, packet) for packet in (b"2probe", b"5", b"4hello"))
    async with await RawSocket.open(engineio_echo.port, target, behind=frames) as socket:
        assert await socket.receive() == (1, b"3probe")
        assert await socket.receive() == (1, b"4hello")
