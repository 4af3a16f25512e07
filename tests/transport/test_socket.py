"""A session of the engine: its packets over polling, its upgrade, its end. Without HTTP; that is tested outside."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.option_groups import EngineOptions
from gateway.rooms.fanout import Targets
from gateway.transport.codec import MalformedPacket, encode_payload, open_packet
from gateway.transport.frame_writer import ConnectionState
from gateway.transport.polling import next_payload, receive_payload
from gateway.transport.server import EngineServer
from gateway.transport.socket import EngineSocket
from gateway.transport.turns import Turns
from gateway.websocket.frames import BINARY, TEXT
from tests.support.waiting import until
from tests.support.websocket_pairs import Pair, pair_of


class EventsRecorder:
    """Takes events, and keeps what it is told; `on_change` sees each change of the transport."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, list[Any], int | None]] = []
        self.told: list[str] = []
        self.answer: Awaitable[None] | None = None
        self.on_change: Callable[[], None] = lambda: None

    def on_event(self, name: Any, arguments: list[Any], ack: int | None) -> Awaitable[None] | None:
        self.events.append((name, arguments, ack))
        return self.answer

    def on_behind(self) -> None:
        self.told.append("behind")

    def on_drained(self) -> None:
        self.told.append("drained")

    def on_connected(self, data: Any) -> None:
        """Nothing."""

    def on_transport_changed(self) -> None:
        self.told.append("transport changed")
        self.on_change()


@pytest.fixture
async def engine() -> EngineServer:
    return EngineServer(EngineOptions(worker="w", outbound_mark_bytes=1000, outbound_max_bytes=4000))


@pytest.fixture
def socket(engine: EngineServer) -> EngineSocket:
    socket = EngineSocket(engine, "w.sid")
    engine.sockets[socket.sid] = socket
    socket.events = EventsRecorder()
    return socket


def recorder_of(socket: EngineSocket) -> EventsRecorder:
    assert isinstance(socket.events, EventsRecorder)
    return socket.events


def writes_directly(socket: EngineSocket) -> bool:
    return socket.direct_write is not None


def is_polled(socket: EngineSocket) -> bool:
    return socket.outbox is not None and socket.outbox.is_polled


async def test_packets_wait_for_a_poll_and_leave_in_order(socket: EngineSocket) -> None:
    socket.send_text(b"4a")
    socket.send_texts([b"4b", b"4c"])
    socket.send_binary(b"\x01\x02")
    assert await next_payload(socket) == b"4a\x1e4b\x1e4c\x1ebAQI="


async def test_a_waiting_poll_ends_with_the_first_packet(socket: EngineSocket) -> None:
    polling = asyncio.create_task(next_payload(socket))
    await until(lambda: is_polled(socket), what="it waits")
    socket.send_text(b"4a")
    socket.send_text(b"4b")
    assert await polling == b"4a\x1e4b"
    assert not is_polled(socket)


async def test_a_long_backlog_leaves_in_several_polls_without_a_loss(socket: EngineSocket) -> None:
    packets = [b"4%d" % number for number in range(50)]
    socket.send_texts(packets)
    got: list[bytes] = []
    while len(got) < 50:
        got += (await next_payload(socket)).split(b"\x1e")
    assert got == packets


async def test_a_full_outbox_is_behind_and_drained_by_polling(socket: EngineSocket) -> None:
    for _ in range(3):
        socket.send_text(b"4" + b"x" * 400)
    assert (socket.is_behind, recorder_of(socket).told) == (True, ["behind"])
    await next_payload(socket)
    assert (socket.is_behind, recorder_of(socket).told) == (False, ["behind", "drained"])


async def test_one_that_does_not_poll_is_ended_at_the_limit(
    socket: EngineSocket, engine: EngineServer
) -> None:
    socket.send_texts([b"4" + b"x" * 500] * 20)
    assert socket.closed


async def test_an_event_takes_the_short_way_and_what_waits_is_waited_for(socket: EngineSocket) -> None:
    assert socket.received(TEXT, b'425["send",{"room":"r"}]') is None
    events = recorder_of(socket)
    events.answer = asyncio.sleep(0)
    waits = socket.received(TEXT, b'42["join",{}]')
    assert waits is events.answer
    assert waits is not None
    await waits
    assert events.events == [("send", [{"room": "r"}], 5), ("join", [{}], None)]


async def test_everything_else_goes_up_the_long_way(socket: EngineSocket, engine: EngineServer) -> None:
    up: list[tuple[str, str | bytes]] = []

    async def take(sid: str, data: str | bytes) -> None:
        up.append((sid, data))

    engine.handlers["message"] = take
    for opcode, data in (
        (TEXT, b'42/custom,["x"]'),
        (TEXT, b"40"),
        (TEXT, b'451-["x",{"_placeholder":true,"num":0}]'),
        (BINARY, b"\x01"),
        (TEXT, b"43[1]"),
    ):
        waits = socket.received(opcode, data)
        assert waits is not None
        await waits
    assert up == [
        ("w.sid", '2/custom,["x"]'),
        ("w.sid", "0"),
        ("w.sid", '51-["x",{"_placeholder":true,"num":0}]'),
        ("w.sid", b"\x01"),
        ("w.sid", "3[1]"),
    ]
    assert recorder_of(socket).events == []


@pytest.mark.parametrize("data", [b"", b"0", b"2", b"5", b"6", b"x", b"42", b"42{}", b"4\xff"])
async def test_what_a_client_does_not_send_is_malformed(socket: EngineSocket, data: bytes) -> None:
    with pytest.raises(MalformedPacket):
        socket.received(TEXT, data)


async def test_posting_stops_at_the_end_of_the_session(socket: EngineSocket) -> None:
    await receive_payload(socket, b'42["a"]\x1e1\x1e42["b"]', Turns())
    assert [name for name, _, _ in recorder_of(socket).events] == ["a"]
    assert socket.closed


# -- moving to WebSocket


def onto(socket: EngineSocket, pair: Pair) -> None:
    """The probe came over this WebSocket."""
    socket.websocket = pair.websocket
    pair.websocket._state = ConnectionState.PROBING
    socket.begin_upgrade()


async def test_an_upgrade_ends_the_waiting_poll_and_carries_over_what_waited(socket: EngineSocket) -> None:
    async with pair_of() as pair:
        polling = asyncio.create_task(next_payload(socket))
        await until(lambda: is_polled(socket), what="it waits")
        onto(socket, pair)
        assert await polling == b"6"
        socket.send_text(b"4a")
        socket.send_binary(b"\x01")
        assert not writes_directly(socket)
        socket.finish_upgrade()
        socket.send_text(b"4b")
        assert [await pair.frame() for _ in range(3)] == [(TEXT, b"4a"), (BINARY, b"\x01"), (TEXT, b"4b")]
        assert writes_directly(socket)
        assert recorder_of(socket).told == ["transport changed"]


async def test_an_upgrade_that_fails_leaves_polling_as_it_was(socket: EngineSocket) -> None:
    async with pair_of() as pair:
        onto(socket, pair)
        socket.send_text(b"4a")
        socket.fail_upgrade()
        socket.send_text(b"4b")
        assert await next_payload(socket) == b"4a\x1e4b"
        assert not socket.upgraded


async def test_a_session_that_ends_while_it_upgrades_gives_its_last_packets_to_the_next_poll(
    socket: EngineSocket, engine: EngineServer
) -> None:
    async with pair_of() as pair:
        onto(socket, pair)
        socket.send_text(b"4bye")
        socket.end(engine.reason.SERVER_DISCONNECT)
        assert await pair.close_code() == 1000
        assert await next_payload(socket) == b"4bye\x1e1"
    assert socket.closed, "the loss of the WebSocket opens it to nobody again"
    await engine.shutdown()


async def test_nothing_is_written_after_the_close_frame(socket: EngineSocket, engine: EngineServer) -> None:
    async with pair_of() as pair:
        onto(socket, pair)
        socket.finish_upgrade()
        targets = [Targets([socket])]
        events = recorder_of(socket)
        events.on_change = lambda: targets.append(Targets([socket]))
        targets[-1].write([b"4before"])
        socket.end(engine.reason.TRANSPORT_CLOSE, code=1001)
        targets[-1].write([b"4after"])
        socket.send_text(b"4after")
        assert await pair.frame() == (TEXT, b"4before")
        assert await pair.close_code() == 1001
        pair.websocket.abort()
        assert await pair.reader.read() == b""


# -- the end


async def test_the_end_is_announced_once_with_its_reason(socket: EngineSocket, engine: EngineServer) -> None:
    ends: list[tuple[str, str]] = []

    async def disconnected(sid: str, reason: str) -> None:
        ends.append((sid, reason))

    engine.handlers["disconnect"] = disconnected
    socket.end(engine.reason.PING_TIMEOUT)
    socket.end(engine.reason.TRANSPORT_CLOSE)
    await socket.close()
    await until(lambda: ends, what="it is announced")
    assert ends == [("w.sid", "ping timeout")]
    assert socket.sid not in engine.sockets
    await engine.shutdown()


async def test_over_polling_the_last_packets_can_still_be_fetched(
    socket: EngineSocket, engine: EngineServer
) -> None:
    socket.send_text(b"4bye")
    socket.end(engine.reason.TRANSPORT_CLOSE)
    assert engine.sockets[socket.sid] is socket
    assert await next_payload(socket) == b"4bye\x1e1"
    await engine.shutdown()


async def test_a_waiting_poll_is_told_of_the_end(socket: EngineSocket, engine: EngineServer) -> None:
    polling = asyncio.create_task(next_payload(socket))
    await until(lambda: is_polled(socket), what="it waits")
    socket.end(engine.reason.TRANSPORT_CLOSE)
    assert await polling == b"1"


async def test_what_is_sent_to_an_ended_session_is_dropped(
    socket: EngineSocket, engine: EngineServer
) -> None:
    socket.end(engine.reason.PING_TIMEOUT, packet=None)
    socket.send_text(b"4a")
    socket.send_binary(b"a")
    assert not socket.outbox


# -- the words on the wire


def test_the_handshake_says_its_times_in_whole_milliseconds() -> None:
    packet = open_packet("sid", ["websocket"], 25.0, 0.2, 1000)
    assert packet == (
        b'0{"sid":"sid","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":200,"maxPayload":1000}'
    )


def test_binary_packets_in_a_payload_are_base64() -> None:
    assert encode_payload([(b"4x", False), (b"\x01\x02\x03", True)]) == b"4x\x1ebAQID"


async def test_a_session_id_begins_with_its_workers_id(engine: EngineServer) -> None:
    ids = {engine.generate_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert {one.partition(".")[0] for one in ids} == {"w"}
