"""Packets that break a protocol end their own connection at once, and nothing else.

Every test is watched by a bystander, whose session must go on, and by the log, which must show no traceback.
"""

from __future__ import annotations

import aiohttp
import pytest

from tests.system.conformance.at_once import assert_closed_at_once
from tests.system.conformance.echo_server import EchoServer
from tests.system.conformance.wire import QUIET_S, Socket

pytestmark = pytest.mark.usefixtures("bystander")

PLACE = '{"_placeholder":true,"num":0}'


@pytest.fixture
def address(socketio_echo: EchoServer) -> str:
    """The URL of the engine."""
    return socketio_echo.address


# -- Engine.IO and Socket.IO packets over WebSocket


@pytest.mark.parametrize("packet", ["", "abc", "9", "0{}", "2", "2probe", "5", "6", " 4", "\x00", "€"])
async def test_an_engineio_packet_that_clients_do_not_send_closes(
    web: aiohttp.ClientSession, address: str, packet: str
) -> None:
    await assert_closed_at_once(web, address, lambda: Socket.connect(web, address), packet)


@pytest.mark.parametrize(
    "packet",
    [
        "4",
        "4abc",
        "47",
        "49[]",
        "4€",
        "40",
        '40{"token":"again"}',
        "40/custom,[1]",
        '40/custom,"token"',
        "40/custom,{bad",
        '44{"message":"no"}',
        "41/custom,",
        '43["no number"]',
        "43abc[]",
        '42/custom,["message","not entered"]',
        '42/random,["message","unknown"]',
    ],
)
async def test_a_socketio_packet_that_clients_do_not_send_closes(
    web: aiohttp.ClientSession, address: str, packet: str
) -> None:
    await assert_closed_at_once(web, address, lambda: Socket.connect(web, address), packet)


@pytest.mark.parametrize("namespace", ["", "/custom,"], ids=["main", "custom"])
@pytest.mark.parametrize(
    "rest",
    [
        "",
        "null",
        "{}",
        "[]",
        '"message"',
        "7",
        "7{}",
        '["message"',
        '["message",]',
        '["message",nothing]',
        '["message",NaN]',
        '["message",1e999,Infinity]',
        '["message"] and more',
        "[null]",
        "[true]",
        "[{}]",
        '[["message"]]',
        '["connect"]',
        '["disconnect"]',
        '["disconnect","transport close"]',
        '["connect_error"]',
        '["newListener"]',
        'abc["message"]',
        '-1["message"]',
        '1.5["message"]',
        "9" * 200 + '["message"]',
        "[" * 100_000,
        '["message",' + "[" * 100_000 + "]" * 100_000 + "]",
    ],
    ids=lambda rest: (rest[:30] or "nothing") if isinstance(rest, str) else None,
)
async def test_an_event_that_is_none_closes(
    web: aiohttp.ClientSession, address: str, namespace: str, rest: str
) -> None:
    start = lambda: Socket.connect(web, address, namespace)  # noqa: E731
    await assert_closed_at_once(web, address, start, f"42{namespace}{rest}")


@pytest.mark.parametrize("namespace", ["", "/custom,"], ids=["main", "custom"])
@pytest.mark.parametrize("reply", ["", "{}", "null", '"yes"', "[", "7"])
async def test_an_acknowledgement_that_is_none_closes(
    web: aiohttp.ClientSession, address: str, namespace: str, reply: str
) -> None:
    start = lambda: Socket.connect(web, address, namespace)  # noqa: E731
    await assert_closed_at_once(web, address, start, f"43{namespace}1{reply}")


@pytest.mark.parametrize(
    "messages",
    [
        (b"\x01\x02",),
        (b"",),
        (f'45["message",{PLACE}]', b"\x01"),
        (f'451["message",{PLACE}]', b"\x01"),
        (f'45-["message",{PLACE}]', b"\x01"),
        (f'45x-["message",{PLACE}]', b"\x01"),
        (f'45-1-["message",{PLACE}]', b"\x01"),
        (f'45999999999999-["message",{PLACE}]', b"\x01"),
        (f'4511-["message",{PLACE}]', b"\x01"),
        (f'451-["message",{PLACE}]', '42["message","not an attachment"]'),
        (f'451-["message",{PLACE}]', "41"),
        ('451-["message",{"_placeholder":true,"num":1}]', b"\x01"),
        ('451-["message",{"_placeholder":true,"num":-1}]', b"\x01"),
        ('451-["message",{"_placeholder":true,"num":"0"}]', b"\x01"),
        ('451-["message",{"_placeholder":true,"num":0.5}]', b"\x01"),
        ('451-["message",{"_placeholder":true,"num":null}]', b"\x01"),
        ('451-["message",{"_placeholder":true}]', b"\x01"),
        ("451-{}", b"\x01"),
        ("451-[]", b"\x01"),
        ("451-", b"\x01"),
        (f'451-["disconnect",{PLACE}]', b"\x01"),
        (f"451-[{PLACE}]", b"\x01"),
        (f'451-abc["message",{PLACE}]', b"\x01"),
        (f"461-[{PLACE}]", b"\x01"),
        ('461-1{"a":' + PLACE + "}", b"\x01"),
        (f'451-/random,["message",{PLACE}]', b"\x01"),
        (f'451-["message",{PLACE}]', b"\x01", b"\x02"),
    ],
    ids=lambda messages: " ".join(str(message)[:45] for message in messages),
)
async def test_attachments_that_do_not_fit_close(
    web: aiohttp.ClientSession, address: str, messages: tuple[str | bytes, ...]
) -> None:
    await assert_closed_at_once(web, address, lambda: Socket.connect(web, address), *messages)


@pytest.mark.parametrize(
    "messages",
    [
        ('451-["message","no place"]', b"\x01"),
        (f'451-["message",{PLACE},{PLACE}]', b"\x01"),
        (f'450-["message",{PLACE}]',),
        (f'42["message",{PLACE}]',),
        ('42["message",' + "1" * 10_000 + "]",),
        ('42["message","\\ud800"]',),
        ('42["message","\\u0000"]',),
        ('42["message",{"__proto__":{"a":1}}]',),
        ('42["' + "m" * 100_000 + '"]',),
        ('42["_trigger_event",1]',),
        ("42[1,2]",),
        ('40/custom,{"token":' + '"x"' * 1 + "}", '42/custom,["message"]'),
        tuple(f"40/room{number}," for number in range(200)),
    ],
    ids=lambda messages: " ".join(str(message)[:45] for message in messages[:2]),
)
async def test_what_is_merely_odd_harms_nobody(
    web: aiohttp.ClientSession, address: str, messages: tuple[str | bytes, ...]
) -> None:
    """It may be answered, ignored or closed for; the bystander and the log tell whether it did harm."""
    socket = await Socket.connect(web, address)
    try:
        await socket.send(*messages)
        await socket.receive_answering(QUIET_S)
    except (AssertionError, TimeoutError, ConnectionError):
        pass  # closed, or nothing to say
    await socket.close()
