"""Socket.IO v5 as its protocol document has it: events, acknowledgements and attachments."""

from __future__ import annotations

import json

import aiohttp
import pytest

from tests.system.conformance.at_once import assert_closed_at_once
from tests.system.conformance.echo_server import EchoServer
from tests.system.conformance.wire import SEPARATOR, Polling, Socket, says

TWO = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}'
"""Two places for attachments, as JSON."""


@pytest.fixture
def address(served: EchoServer) -> str:
    """The URL of the engine."""
    return served.address


# -- events and acknowledgements


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        ',1,"2",{"3":[true]}',
        ",null,false,[],{}",
        ',"€ 😀 \\u0000 \\" \\\\"',
        ",1.5,-3,12345678901234",
        ',"[1]"',
    ],
)
async def test_an_event_comes_back(
    web: aiohttp.ClientSession, address: str, namespace: str, arguments: str
) -> None:
    socket = await Socket.connect(web, address, namespace)
    await socket.send(f'42{namespace}["message"{arguments}]')
    answer = str(await socket.receive_answering())
    assert answer.startswith(f"42{namespace}[")
    assert json.loads(answer.removeprefix(f"42{namespace}")) == json.loads(f'["message-back"{arguments}]')
    await socket.close()


async def test_an_event_comes_back_to_the_byte(
    web: aiohttp.ClientSession, address: str, namespace: str
) -> None:
    socket = await Socket.connect(web, address, namespace)
    await socket.send(f'42{namespace}["message",1,"2",{{"3":[true]}}]')
    await says(socket, f'42{namespace}["message-back",1,"2",{{"3":[true]}}]')
    await socket.close()


async def test_events_keep_their_order(web: aiohttp.ClientSession, address: str, namespace: str) -> None:
    socket = await Socket.connect(web, address, namespace)
    await socket.send(*(f'42{namespace}["message",{number}]' for number in range(300)))
    await says(socket, *(f'42{namespace}["message-back",{number}]' for number in range(300)))
    await socket.close()


@pytest.mark.parametrize("number", [0, 7, 456, 2**31])
async def test_an_event_is_acknowledged(
    web: aiohttp.ClientSession, address: str, namespace: str, number: int
) -> None:
    socket = await Socket.connect(web, address, namespace)
    await socket.send(f'42{namespace}{number}["message-with-ack",1,"2",{{"3":[false]}}]')
    await says(socket, f'43{namespace}{number}[1,"2",{{"3":[false]}}]')
    await socket.close()


async def test_an_acknowledgement_may_be_empty(
    web: aiohttp.ClientSession, address: str, namespace: str
) -> None:
    socket = await Socket.connect(web, address, namespace)
    await socket.send(f'42{namespace}5["message-with-ack"]')
    await says(socket, f"43{namespace}5[]")
    await socket.close()


async def test_attachments_come_back(web: aiohttp.ClientSession, address: str, namespace: str) -> None:
    socket = await Socket.connect(web, address, namespace)
    await socket.send(f'452-{namespace}["message",{TWO}]', b"\x01\x02\x03", b"\x04\x05\x06")
    await says(socket, f'452-{namespace}["message-back",{TWO}]', b"\x01\x02\x03", b"\x04\x05\x06")
    await socket.close()


async def test_attachments_are_acknowledged(web: aiohttp.ClientSession, address: str, namespace: str) -> None:
    socket = await Socket.connect(web, address, namespace)
    await socket.send(f'452-{namespace}789["message-with-ack",{TWO}]', b"\x01\x02\x03", b"\x04\x05\x06")
    await says(socket, f"462-{namespace}789[{TWO}]", b"\x01\x02\x03", b"\x04\x05\x06")
    await socket.close()


async def test_attachments_may_lie_deep(web: aiohttp.ClientSession, address: str, namespace: str) -> None:
    socket = await Socket.connect(web, address, namespace)
    places = '{"a":[{"_placeholder":true,"num":0},2],"b":{"c":{"_placeholder":true,"num":1}}}'
    await socket.send(f'452-{namespace}["message",{places}]', b"", bytes(100_000))
    await says(socket, f'452-{namespace}["message-back",{places}]', b"", bytes(100_000))
    await socket.close()


async def test_attachments_find_their_places(
    web: aiohttp.ClientSession, address: str, namespace: str
) -> None:
    """The places name the attachments by number; the server may number them anew."""
    socket = await Socket.connect(web, address, namespace)
    places = '{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}'
    await socket.send(f'452-{namespace}["message",{places}]', b"second", b"first")
    answer, *attachments = [await socket.receive_answering() for _ in range(3)]
    places_back = json.loads(str(answer).removeprefix(f"452-{namespace}"))[1:]
    assert [attachments[place["num"]] for place in places_back] == [b"first", b"second"]
    await socket.close()


@pytest.mark.parametrize("reply", ["[]", '["yes",{"3":[true]}]'])
async def test_a_client_acknowledges(
    web: aiohttp.ClientSession, address: str, namespace: str, reply: str
) -> None:
    socket = await Socket.connect(web, address, namespace)
    await socket.send(f'42{namespace}["ask","well?"]')
    question = str(await socket.receive_answering())
    number = question.removeprefix(f"42{namespace}").removesuffix('["question","well?"]')
    assert number.isdigit(), question
    await socket.send(f"43{namespace}{number}{reply}")
    inside = reply[1:-1]
    await says(socket, f'42{namespace}["answer",{inside}]' if inside else f'42{namespace}["answer"]')
    await socket.close()


async def test_a_client_acknowledges_with_attachments(
    web: aiohttp.ClientSession, address: str, namespace: str
) -> None:
    socket = await Socket.connect(web, address, namespace)
    await socket.send(f'42{namespace}["ask"]')
    question = str(await socket.receive_answering())
    number = question.removeprefix(f"42{namespace}").removesuffix('["question"]')
    await socket.send(f"462-{namespace}{number}[{TWO}]", b"one", b"two")
    await says(socket, f'452-{namespace}["answer",{TWO}]', b"one", b"two")
    await socket.close()


async def test_an_acknowledgement_that_nobody_asked_for_is_ignored(
    web: aiohttp.ClientSession, address: str, namespace: str
) -> None:
    socket = await Socket.connect(web, address, namespace)
    await socket.send(f'43{namespace}99["what?"]', f'42{namespace}["message",1]')
    await says(socket, f'42{namespace}["message-back",1]')
    await socket.close()


async def test_an_unknown_event_is_ignored(web: aiohttp.ClientSession, address: str, namespace: str) -> None:
    socket = await Socket.connect(web, address, namespace)
    await socket.send(f'42{namespace}["nobody listens",1]', f'42{namespace}["message",1]')
    await says(socket, f'42{namespace}["message-back",1]')
    await socket.close()


@pytest.mark.parametrize(
    "packet",
    ["4abc", "42{}", '42abc["message-with-ack",1,"2",{"3":[false]}]'],
    ids=["packet type", "payload", "acknowledgement id"],
)
async def test_an_invalid_packet_closes(web: aiohttp.ClientSession, address: str, packet: str) -> None:
    await assert_closed_at_once(web, address, lambda: Socket.connect(web, address), packet)


# -- the same over polling and across the upgrade


async def test_polling_carries_events(web: aiohttp.ClientSession, address: str, namespace: str) -> None:
    session = await Polling.connect(web, address, namespace)
    events = [f'42{namespace}["message",{number}]' for number in range(20)]
    assert await session.post(SEPARATOR.join(events)) == (200, "ok")
    answers: list[str] = []
    while len(answers) < len(events):
        answers += await session.packets()
    assert answers == [f'42{namespace}["message-back",{number}]' for number in range(20)]


async def test_polling_carries_attachments(web: aiohttp.ClientSession, address: str, namespace: str) -> None:
    session = await Polling.connect(web, address, namespace)
    packets = (f'452-{namespace}12["message-with-ack",{TWO}]', "bAQID", "bBAUG")
    assert await session.post(SEPARATOR.join(packets)) == (200, "ok")
    answers: list[str] = []
    while len(answers) < 3:
        answers += await session.packets()
    assert answers == [f"462-{namespace}12[{TWO}]", "bAQID", "bBAUG"]


async def test_attachments_may_come_in_requests_of_their_own(
    web: aiohttp.ClientSession, address: str, namespace: str
) -> None:
    session = await Polling.connect(web, address, namespace)
    for packet in (f'452-{namespace}["message",{TWO}]', "bAQID", "bBAUG"):
        assert await session.post(packet) == (200, "ok")
    answers: list[str] = []
    while len(answers) < 3:
        answers += await session.packets()
    assert answers == [f'452-{namespace}["message-back",{TWO}]', "bAQID", "bBAUG"]


async def test_a_namespace_lasts_across_the_upgrade(
    web: aiohttp.ClientSession, address: str, namespace: str
) -> None:
    session = await Polling.connect(web, address, namespace)
    socket = await session.upgrade()
    await socket.send("2probe")
    assert await socket.receive() == "3probe"
    await session.get()
    await socket.send("5", f'42{namespace}1["message-with-ack","moved"]')
    await says(socket, f'43{namespace}1["moved"]')
    await socket.close()


async def test_polling_is_told_of_an_unknown_namespace(web: aiohttp.ClientSession, address: str) -> None:
    session = await Polling.open(web, address)
    await session.post("40/random,")
    assert await session.packets() == ['44/random,{"message":"Invalid namespace"}']
