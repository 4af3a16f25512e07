"""One connection that sends more than a moment holds: turns, one write for a batch, and the end of who is hostile."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from gateway.metrics import frames_read
from gateway.transport.conduct import ODD, POINTS_AT_ONCE
from gateway.transport.turns import AT_ONCE, TURN_MESSAGES
from gateway.websocket.close_codes import POLICY
from gateway.websocket.frames import CONTINUATION, PING, PONG, TEXT, FrameParser
from gateway.websocket.unfinished import Unfinished
from tests.support.client_frames import FIN, FINAL_TEXT, client_frame
from tests.support.waiting import until
from tests.support.websocket_pairs import MARK_BYTES, OUTBOUND_BYTES, Pair, pair_of


class CountingTransport:
    """The real transport, and how often was written to it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.writes = 0

    def write(self, data: bytes) -> None:
        self.writes += 1
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def counted(pair: Pair) -> CountingTransport:
    """From now on the writes of a pair's WebSocket are counted."""
    assert pair.websocket.transport is not None
    counting = CountingTransport(pair.websocket.transport)
    pair.websocket.adopt(counting, MARK_BYTES)  # type: ignore[arg-type]
    return counting


async def most_in_one_round(pair: Pair, wanted: int) -> int:
    """How many messages were handled in one round of the event loop at most, until `wanted` were."""
    seen, most = 0, 0
    async with asyncio.timeout(20):
        while seen < wanted:
            await asyncio.sleep(0)
            most, seen = max(most, len(pair.listener.messages) - seen), len(pair.listener.messages)
    return most


async def test_a_flood_is_handled_in_turns_in_order_and_whole() -> None:
    async with pair_of() as pair:
        texts = [b"%d" % number for number in range(5_000)]
        pair.sends(*(client_frame(FINAL_TEXT, text) for text in texts))
        assert await most_in_one_round(pair, 5_000) <= TURN_MESSAGES
        assert pair.listener.texts() == texts


async def test_many_floods_have_one_turn_in_a_round_together_and_a_slow_one() -> None:
    async with pair_of() as one, pair_of(one.turns) as two:
        for pair in (one, two):
            pair.sends(client_frame(FINAL_TEXT, b"x") * 2_000)
        seen, most = 0, 0
        async with asyncio.timeout(20):
            while seen < 4_000:
                await asyncio.sleep(0)
                now = len(one.listener.messages) + len(two.listener.messages)
                most, seen = max(most, now - seen), now
        assert most <= 2 * (TURN_MESSAGES + AT_ONCE), "one turn, and one of the slow"


async def test_one_whose_messages_take_long_has_fewer_of_them_in_a_turn() -> None:
    async with pair_of() as pair:
        ended = [0.0]

        def take_long(data: bytes) -> None:
            ended[0] = asyncio.get_running_loop().time() + 0.001
            while asyncio.get_running_loop().time() < ended[0]:
                pass

        pair.listener.answer = take_long
        pair.sends(client_frame(FINAL_TEXT, b"x") * 100)
        assert await most_in_one_round(pair, 100) == 1


async def test_the_answers_of_one_batch_leave_in_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "gateway.transport.connection.TURN_S", 60.0
    )  # else a busy machine ends turns by the clock
    async with pair_of() as pair:
        transport = counted(pair)
        pair.listener.answer = lambda data: pair.websocket.send_text(b"refused " + data)
        pair.sends(*(client_frame(FINAL_TEXT, b"%d" % number) for number in range(320)))
        answers = [await pair.frame() for _ in range(320)]
        assert answers == [(TEXT, b"refused %d" % number) for number in range(320)]
        assert transport.writes <= 320 / TURN_MESSAGES + 1


async def test_pongs_of_one_batch_leave_in_one_write() -> None:
    async with pair_of() as pair:
        transport = counted(pair)
        pair.sends(client_frame(FIN | PING, b"p") * AT_ONCE)
        assert [await pair.frame() for _ in range(AT_ONCE)] == [(PONG, b"p")] * AT_ONCE
        assert transport.writes == 1


async def test_nothing_is_handled_after_the_connection_was_cut() -> None:
    async with pair_of() as pair:
        answer = bytes(10_000)
        pair.listener.answer = lambda data: pair.websocket.send_text(answer)
        pair.writer.transport.pause_reading()  # type: ignore[attr-defined]
        pair.sends(client_frame(FINAL_TEXT, b"x") * 5_000)
        await until(lambda: pair.listener.told[-1:] == ["lost"], what="it is cut")
        most = OUTBOUND_BYTES / len(answer) + 300_000 / len(answer)  # what the kernel took, and the limit
        assert len(pair.listener.messages) <= most
        handled = len(pair.listener.messages)
        await asyncio.sleep(0.05)
        assert len(pair.listener.messages) == handled


HOSTILE = {
    "empty PINGs": client_frame(FIN | PING),
    "full PINGs": client_frame(FIN | PING, bytes(125)),
    "unasked PONGs": client_frame(FIN | PONG),
    "empty fragments": client_frame(CONTINUATION),
}


@pytest.mark.parametrize("kind", HOSTILE)
async def test_who_sends_what_no_honest_client_sends_is_ended(kind: str) -> None:
    async with pair_of() as pair:
        first = client_frame(TEXT, b"a") if kind == "empty fragments" else b""
        pair.sends(first, HOSTILE[kind] * 20_000)
        while (received := await pair.frame())[0] == PONG:
            pass
        assert received[1][:2] == POLICY.to_bytes(2)
        assert pair.listener.told == ["close sent"]


@pytest.mark.parametrize("kind", HOSTILE)
async def test_who_sends_a_few_of_them_goes_on(kind: str) -> None:
    async with pair_of() as pair:
        first = client_frame(TEXT, b"a") if kind == "empty fragments" else b""
        last = client_frame(FIN, b"b") if kind == "empty fragments" else client_frame(FINAL_TEXT, b"ab")
        pair.sends(first, HOSTILE[kind] * (POINTS_AT_ONCE // ODD - 10), last)
        await until(lambda: pair.listener.texts() == [b"ab"], what="the message")


async def test_after_it_was_ended_nothing_of_it_is_read() -> None:
    async with pair_of() as pair:
        pair.sends(client_frame(FIN | PONG) * 20_000, client_frame(FINAL_TEXT, b"too late"))
        assert await pair.close_code() == POLICY
        pair.sends(client_frame(FINAL_TEXT, b"too late") * 100)
        await asyncio.sleep(0.05)
        assert pair.listener.messages == []
        assert pair.websocket.transport is not None
        assert not pair.websocket.transport.is_reading()


@pytest.mark.parametrize("number", [1, AT_ONCE, 3 * TURN_MESSAGES + 1])
async def test_every_frame_is_counted_once_however_many_come_at_once(number: int) -> None:
    async with pair_of() as pair:
        known = frames_read.value
        pair.sends(client_frame(FINAL_TEXT, b"x") * number, client_frame(FIN | 11))
        await until(lambda: "close sent" in pair.listener.told, what="what is no frame ends it")
        assert frames_read.value - known == number == len(pair.listener.messages)


@pytest.mark.parametrize("frame", [client_frame(FINAL_TEXT, bytes(900))[:-1], client_frame(TEXT, bytes(900))])
async def test_what_was_not_whole_goes_with_its_connection(frame: bytes) -> None:
    async with pair_of() as pair:
        pair.sends(frame)
        await until(lambda: _kept_bytes(pair) > 800, what="it is kept until the rest comes")
        pair.writer.transport.abort()
        await until(lambda: pair.listener.told == ["lost"], what="the end")
        assert _kept_bytes(pair) < 100


def _kept_bytes(pair: Pair) -> int:
    """What the parser of a WebSocket keeps of what came."""
    (parser,) = (one for one in gc.get_referents(pair.websocket) if isinstance(one, FrameParser))
    unfinished = [one for one in gc.get_referents(parser) if isinstance(one, Unfinished)]
    return sum(len(one.payload) + len(one.rest) for one in unfinished)
