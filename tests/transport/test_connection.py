"""A WebSocket under a session on a real connection: order, flow control, the closing handshake."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable

import pytest

from gateway.transport.codec import MalformedPacket
from gateway.transport.connection import WebSocketConnection
from gateway.transport.frame_writer import as_protocol
from gateway.transport.turns import Turns
from gateway.websocket.frames import BINARY, CLOSE, PING, PONG, TEXT, FrameParser, close_frame
from tests.support.client_frames import FIN, FINAL_BINARY, FINAL_TEXT, client_frame
from tests.support.waiting import stays, until
from tests.support.websocket_pairs import (
    MARK_BYTES,
    MAX_BYTES,
    OUTBOUND_BYTES,
    ListenerRecorder,
    Pair,
    pair_of,
)


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with pair_of() as pair:
        yield pair


async def test_messages_go_up_in_order_and_packets_go_down_in_order(pair: Pair) -> None:
    pair.sends(client_frame(FINAL_TEXT, b"one"), client_frame(FINAL_BINARY, b"two"))
    await until(lambda: len(pair.listener.messages) == 2, what="the messages")
    assert pair.listener.messages == [(TEXT, b"one"), (BINARY, b"two")]
    pair.websocket.send_text(b"a")
    pair.websocket.send_texts([b"b", b"c" * 300])
    pair.websocket.send_binary(b"d")
    assert [await pair.frame() for _ in range(4)] == [
        (TEXT, b"a"),
        (TEXT, b"b"),
        (TEXT, b"c" * 300),
        (BINARY, b"d"),
    ]


async def test_what_had_arrived_before_the_connection_was_hijacked_comes_first() -> None:
    ours, theirs = socket.socketpair()
    listener = ListenerRecorder()
    websocket = WebSocketConnection(listener, FrameParser(MAX_BYTES), None, OUTBOUND_BYTES, Turns())
    transport, _ = await asyncio.get_running_loop().create_connection(
        lambda: as_protocol(websocket), sock=ours
    )
    transport.pause_reading()
    theirs.sendall(client_frame(FINAL_TEXT, b"second"))
    websocket.adopt(transport, MARK_BYTES)
    websocket.start(client_frame(FINAL_TEXT, b"first"))
    await until(lambda: listener.texts() == [b"first", b"second"], what="both in order")
    websocket.abort()
    await until(lambda: listener.told == ["lost"], what="the end")
    theirs.close()


async def test_a_ping_is_answered_with_its_payload(pair: Pair) -> None:
    pair.sends(client_frame(FIN | PING, b"are you there"), client_frame(FIN | PONG, b"unasked"))
    assert await pair.frame() == (PONG, b"are you there")
    assert pair.listener.messages == []


async def test_the_next_message_waits_until_the_last_one_is_handled(pair: Pair) -> None:
    gate = asyncio.Event()

    async def handle() -> None:
        await gate.wait()

    pair.listener.answer = lambda data: handle() if data == b"slow" else None
    pair.sends(*(client_frame(FINAL_TEXT, data) for data in (b"slow", b"b", b"c")))
    pair.sends(client_frame(FIN | PING, b"p"))
    await until(lambda: pair.listener.texts() == [b"slow"], what="the first message")
    pair.sends(client_frame(FINAL_TEXT, b"d"))
    await stays(lambda: pair.listener.texts() == [b"slow"], 0.1, "the others wait")
    gate.set()
    await until(lambda: pair.listener.texts() == [b"slow", b"b", b"c", b"d"], what="all in order")


async def test_a_client_that_floods_a_slow_handler_fills_its_own_buffers() -> None:
    async with pair_of() as pair:
        gate = asyncio.Event()

        async def handle() -> None:
            await gate.wait()

        pair.listener.answer = lambda data: handle()
        flood = client_frame(FINAL_TEXT, b"x" * 900) * 10_000
        pair.sends(flood)
        await until(lambda: len(pair.listener.messages) == 1, what="the first message")
        await stays(lambda: pair.writer.transport.get_write_buffer_size() > 4_000_000, 0.2, "unsent")
        assert len(pair.listener.messages) == 1


@pytest.mark.parametrize("together", [True, False])
async def test_while_a_handler_needs_time_reading_is_paused_once_something_waits(
    pair: Pair, together: bool
) -> None:
    gate = asyncio.Event()

    async def handle() -> None:
        await gate.wait()

    def is_reading() -> bool:
        assert pair.websocket.transport is not None
        return pair.websocket.transport.is_reading()

    pair.listener.answer = lambda data: handle() if data == b"slow" else None
    slow, later = client_frame(FINAL_TEXT, b"slow"), client_frame(FINAL_TEXT, b"later")
    pair.sends(slow, later) if together else pair.sends(slow)
    await until(lambda: pair.listener.texts() == [b"slow"], what="the first message")
    assert is_reading() == (not together)
    if not together:
        pair.sends(later)
        await until(lambda: not is_reading(), what="the next message waits")
    pair.writer.write_eof()
    await stays(lambda: pair.listener.told == [], 0.05, "what came before the end waits")
    gate.set()
    await until(lambda: pair.listener.told == ["lost"], what="the end")
    assert pair.listener.texts() == [b"slow", b"later"]


async def test_malformed_packets_close_with_1002(pair: Pair) -> None:
    def refuse(data: bytes) -> None:
        raise MalformedPacket("nonsense")

    pair.listener.answer = refuse
    pair.sends(client_frame(FINAL_TEXT, b"x"), client_frame(FINAL_TEXT, b"y"))
    assert await pair.close_code() == 1002
    assert pair.listener.texts() == [b"x"], "nothing after it is handled"


async def test_a_slow_handler_that_finds_a_packet_malformed_closes_too(pair: Pair) -> None:
    async def refuse() -> None:
        raise MalformedPacket("nonsense")

    pair.listener.answer = lambda data: refuse()
    pair.sends(client_frame(FINAL_TEXT, b"x"), client_frame(FINAL_TEXT, b"y"))
    assert await pair.close_code() == 1002
    assert pair.listener.texts() == [b"x"]


@pytest.mark.parametrize("is_slow", [False, True])
async def test_a_handler_that_fails_ends_only_its_own_connection(pair: Pair, is_slow: bool) -> None:
    async def fail() -> None:
        raise RuntimeError("a bug")

    def answer(data: bytes) -> Awaitable[None] | None:
        if is_slow:
            return fail()
        raise RuntimeError("a bug")

    pair.listener.answer = answer
    pair.sends(client_frame(FINAL_TEXT, b"x"))
    assert await pair.close_code() == 1011


async def test_a_broken_frame_loses_nothing_before_it(pair: Pair) -> None:
    pair.sends(client_frame(FINAL_TEXT, b"good"), client_frame(FINAL_TEXT, b"x" * (MAX_BYTES + 1)))
    assert await pair.close_code() == 1009
    assert pair.listener.texts() == [b"good"]
    assert pair.listener.told == ["close sent"]


async def test_the_peers_close_is_answered_with_its_code_and_ends_the_connection(pair: Pair) -> None:
    pair.sends(client_frame(FINAL_TEXT, b"last"), client_frame(FIN | CLOSE, (4001).to_bytes(2) + b"bye"))
    assert await pair.close_code() == 4001
    await until(lambda: pair.listener.told == ["lost"], what="the end")
    assert pair.listener.texts() == [b"last"]
    assert await pair.reader.read() == b""


async def test_closing_waits_for_the_peers_answer_and_handles_nothing_more(pair: Pair) -> None:
    pair.websocket.close(1001, b"goodbye")
    assert await pair.frame() == (TEXT, b"goodbye")
    assert await pair.close_code() == 1001
    pair.websocket.send_text(b"never")
    pair.websocket.close(1000, None)
    assert (pair.websocket.direct_write, pair.websocket.is_settled) == (None, True)
    pair.sends(client_frame(FINAL_TEXT, b"too late"), client_frame(FIN | CLOSE, close_frame(1001)[2:]))
    assert await pair.reader.read() == b"", "nothing after the close frame"
    assert pair.listener.texts() == []
    assert pair.listener.told == ["close sent", "lost"]


async def test_over_the_mark_it_is_behind_and_drained_when_the_peer_reads() -> None:
    async with pair_of() as pair:
        assert pair.websocket.direct_write is not None
        while pair.listener.told == []:
            pair.websocket.direct_write(b"\x82\x7e\x03\xe8" + bytes(1000))
        assert pair.listener.told == ["behind"]
        reading = asyncio.create_task(_read_all(pair))
        await until(lambda: pair.listener.told == ["behind", "drained"], what="drained")
        reading.cancel()


async def test_one_that_does_not_read_is_cut_off_at_the_limit() -> None:
    async with pair_of() as pair:
        for _ in range(10_000):
            pair.websocket.send_text(bytes(500))
        assert pair.listener.told[0] == "behind"
        await until(lambda: pair.listener.told[-1] == "lost", what="cut off")


async def _read_all(pair: Pair) -> None:
    while await pair.reader.read(65_536):
        pass


async def test_when_reading_is_stopped_writing_goes_on(pair: Pair) -> None:
    pair.websocket.stop_reading()
    pair.sends(client_frame(FINAL_TEXT, b"unheard"))
    pair.websocket.send_text(b"goodbye")
    assert await pair.frame() == (TEXT, b"goodbye")
    await stays(lambda: pair.listener.messages == [], 0.1)


async def test_one_that_was_stopped_still_waits_for_the_peers_close_frame(pair: Pair) -> None:
    pair.websocket.stop_reading()
    pair.sends(client_frame(FINAL_TEXT, b"unheard"))
    pair.websocket.close(1001, None)
    assert await pair.close_code() == 1001
    pair.sends(client_frame(FINAL_TEXT, b"unheard"), client_frame(FIN | CLOSE, (1001).to_bytes(2)))
    await until(
        lambda: pair.listener.told == ["close sent", "lost"], what="the closing handshake is complete"
    )
    assert pair.listener.messages == []


async def test_a_handler_that_ends_after_the_stop_takes_nothing_more(pair: Pair) -> None:
    gate = asyncio.Event()

    async def handle() -> None:
        await gate.wait()
        pair.websocket.send_text(b"answer")

    pair.listener.answer = lambda data: handle()
    pair.sends(client_frame(FINAL_TEXT, b"one"), client_frame(FINAL_TEXT, b"two"))
    await until(lambda: pair.listener.texts() == [b"one"], what="the first message")
    pair.websocket.stop_reading()
    gate.set()
    assert await pair.frame() == (TEXT, b"answer")
    await stays(lambda: pair.listener.texts() == [b"one"], 0.1)


async def test_a_peer_that_vanishes_is_told_once(pair: Pair) -> None:
    pair.writer.transport.abort()
    await until(lambda: pair.listener.told == ["lost"], what="the loss")
    pair.websocket.send_text(b"nobody")
    pair.websocket.close(1000, None)
    pair.websocket.abort()
    assert pair.listener.told == ["lost"]
