"""Socket.IO v5 as its protocol document has it: coming to namespaces and leaving them."""

from __future__ import annotations

import json
import time

import aiohttp
import pytest

from tests.support.waiting import tried_again, unless_held_up
from tests.system.conformance.at_once import assert_closed_at_once
from tests.system.conformance.echo_server import EchoServer
from tests.system.conformance.wire import Polling, Socket, says

CONNECT_S = 1.0
SLACK_S = 0.5
HELD_UP_AT_MOST_S = 0.1
"""A test that must answer pings has to be awake but for this: half of what the echo app waits for a pong."""


@pytest.fixture
def address(served: EchoServer) -> str:
    """The URL of the engine."""
    return served.address


@pytest.fixture
def brisk_address(briskly_served: EchoServer) -> str:
    """The same with the echo app's own short times."""
    return briskly_served.address


# -- connection to a namespace


@pytest.mark.parametrize("auth", ["", '{"token":"123"}', '{"deep":{"list":[1,"two",null]},"sign":"€😀"}'])
async def test_a_namespace_lets_in(
    web: aiohttp.ClientSession, address: str, namespace: str, auth: str
) -> None:
    socket = await Socket.open_session(web, address)
    await socket.send(f"40{namespace}{auth}")
    opened, event = await socket.receive_answering(), await socket.receive_answering()
    assert isinstance(opened, str)
    assert isinstance(event, str)
    assert opened.startswith(f"40{namespace}{{")
    handshake = json.loads(opened.removeprefix(f"40{namespace}"))
    assert list(handshake) == ["sid"]
    assert isinstance(handshake["sid"], str)
    assert event.startswith(f'42{namespace}["auth",')
    assert json.loads(event.removeprefix(f"42{namespace}")) == ["auth", json.loads(auth or "{}")]
    await socket.close()


async def test_the_comma_behind_a_namespace_may_be_missing(web: aiohttp.ClientSession, address: str) -> None:
    socket = await Socket.open_session(web, address)
    await socket.send("40/custom")
    opened = await socket.receive_answering()
    assert str(opened).startswith('40/custom,{"sid":"')
    await says(socket, '42/custom,["auth",{}]')
    await socket.close()


async def test_each_namespace_has_a_session_of_its_own(web: aiohttp.ClientSession, address: str) -> None:
    socket = await Socket.open_session(web, address)
    await socket.send("40", "40/custom,")
    packets = [str(await socket.receive_answering()) for _ in range(4)]
    opened = [packet.split("{")[1] for packet in packets if packet.startswith("40")]
    assert len(set(opened)) == 2
    await socket.close()


async def test_an_unknown_namespace_is_refused(web: aiohttp.ClientSession, address: str) -> None:
    socket = await Socket.open_session(web, address)
    await socket.send("40/random")
    await says(socket, '44/random,{"message":"Invalid namespace"}')
    await socket.close()


async def test_a_refused_namespace_leaves_the_others_alone(web: aiohttp.ClientSession, address: str) -> None:
    socket = await Socket.connect(web, address)
    await socket.send('40/random,{"token":"123"}', '42["message",1]')
    await says(socket, '44/random,{"message":"Invalid namespace"}', '42["message-back",1]')
    await socket.close()


@tried_again()
async def test_a_session_without_a_namespace_is_closed(
    web: aiohttp.ClientSession, brisk_address: str
) -> None:
    async with unless_held_up(HELD_UP_AT_MOST_S):
        start_s = time.monotonic()
        socket = await Socket.open_session(web, brisk_address)
        opened_s = time.monotonic()
        await socket.closed_after_s(is_answering=True)
        assert time.monotonic() - start_s >= CONNECT_S
        assert time.monotonic() - opened_s < CONNECT_S + SLACK_S


@tried_again()
async def test_a_session_whose_namespace_was_refused_is_closed(
    web: aiohttp.ClientSession, brisk_address: str
) -> None:
    async with unless_held_up(HELD_UP_AT_MOST_S):
        start_s = time.monotonic()
        socket = await Socket.open_session(web, brisk_address)
        opened_s = time.monotonic()
        await socket.send("40/random")
        await socket.closed_after_s(is_answering=True)
        assert time.monotonic() - start_s >= CONNECT_S
        assert time.monotonic() - opened_s < CONNECT_S + SLACK_S


async def test_a_polling_session_without_a_namespace_is_closed(
    web: aiohttp.ClientSession, brisk_address: str
) -> None:
    session = await Polling.open(web, brisk_address)
    status, body = 200, ""
    while status == 200 and body != "1":
        status, body = await session.get()
        if status == 200 and body == "2":
            await session.post("3")
    assert await session.is_closed()


@pytest.mark.parametrize("packet", ["abc", '2["message",1]', "1", '3/custom,1["x"]', ""])
async def test_what_comes_before_connect_closes(
    web: aiohttp.ClientSession, address: str, packet: str
) -> None:
    await assert_closed_at_once(web, address, lambda: Socket.open_session(web, address), f"4{packet}")


# -- disconnection from a namespace


@tried_again()
async def test_the_connection_outlives_the_main_namespace(
    web: aiohttp.ClientSession, brisk_address: str
) -> None:
    async with unless_held_up(HELD_UP_AT_MOST_S):
        socket = await Socket.connect(web, brisk_address)
        await socket.send("41")
        assert await socket.receive() == "2"
        await socket.close()


@pytest.mark.parametrize("packet", ["41/custom", "41/custom,"])
async def test_a_namespace_may_be_left(web: aiohttp.ClientSession, address: str, packet: str) -> None:
    socket = await Socket.connect(web, address)
    await socket.send("40/custom,")
    for beginning in ("40/custom,{", "42/custom,["):
        assert str(await socket.receive_answering()).startswith(beginning)
    await socket.send(packet, '42["message","to the main one"]')
    await says(socket, '42["message-back","to the main one"]')
    await socket.close()


async def test_a_namespace_may_be_entered_again(
    web: aiohttp.ClientSession, address: str, namespace: str
) -> None:
    socket = await Socket.connect(web, address, namespace)
    await socket.send(f"41{namespace}", f"40{namespace}")
    assert str(await socket.receive_answering()).startswith(f"40{namespace}{{")
    await says(socket, f'42{namespace}["auth",{{}}]')
    await socket.send(f'42{namespace}["message","again"]')
    await says(socket, f'42{namespace}["message-back","again"]')
    await socket.close()


async def test_an_event_for_a_namespace_that_was_left_closes(
    web: aiohttp.ClientSession, address: str, namespace: str
) -> None:
    packets = (f"41{namespace}", f'42{namespace}["message",1]')
    await assert_closed_at_once(web, address, lambda: Socket.connect(web, address, namespace), *packets)
