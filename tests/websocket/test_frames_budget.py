"""A parser that stops after as much as one turn may hold, and goes on from there."""

from __future__ import annotations

from random import Random

import pytest

from gateway.websocket.close_codes import FrameError
from gateway.websocket.deflate import Inflater, compress
from gateway.websocket.frames import BINARY, CONTINUATION, PING, PONG, TEXT, FrameParser, Message
from tests.support.client_frames import FIN, FINAL_BINARY, FINAL_TEXT, MAX_BYTES, RSV1, client_frame, fed

FRAMES = {
    "text": client_frame(FINAL_TEXT, b"hello"),
    "not ASCII": client_frame(FINAL_TEXT, "zwölf".encode()),
    "empty text": client_frame(FINAL_TEXT),
    "binary": client_frame(FINAL_BINARY, b"\xff"),
    "ping": client_frame(FIN | PING),
    "pong": client_frame(FIN | PONG, b"x"),
    "fragments": client_frame(TEXT, b"a") + client_frame(CONTINUATION) * 3 + client_frame(FIN, b"b"),
    "compressed": client_frame(FINAL_TEXT | RSV1, compress(b"x" * 5000)),
}
MOST, MOST_BYTES = 8, 2000


def in_turns(stream: bytes, most: int, most_bytes: int) -> tuple[list[list[Message]], int]:
    """What each call of `feed` gave, and the error's code."""
    parser, turns = FrameParser(MAX_BYTES, Inflater()), []
    try:
        turns.append(parser.feed(stream, most, most_bytes))
        while parser.rest is not None:
            turns.append(parser.feed(b"", most, most_bytes))
    except FrameError as error:
        return [*turns, error.messages], error.code
    return turns, 0


@pytest.mark.parametrize("kind", FRAMES)
def test_one_call_takes_no_more_frames_than_it_may(kind: str) -> None:
    stream = FRAMES[kind] * 100
    turns, code = in_turns(stream, MOST, 1 << 20)
    assert max(map(len, turns)) <= MOST
    assert len(turns) >= 100 / MOST
    assert ([message for turn in turns for message in turn], code) == fed(
        [stream], FrameParser(MAX_BYTES, Inflater())
    )


@pytest.mark.parametrize("kind", FRAMES)
def test_one_call_stops_after_as_many_bytes_as_it_may_after_inflating(kind: str) -> None:
    turns, _ = in_turns(FRAMES[kind] * 1000, 1 << 20, MOST_BYTES)
    for turn in turns:
        assert sum(len(data) for _, data in turn[:-1]) <= MOST_BYTES
    assert len(turns) > 1


def test_a_message_of_many_tiny_fragments_takes_many_calls() -> None:
    parser = FrameParser(MAX_BYTES)
    assert parser.feed(client_frame(TEXT, b"a") + client_frame(CONTINUATION) * 1000, MOST, 1 << 20) == []
    assert parser.rest is not None
    assert parser.take_oddity() <= MOST


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_budget_the_same_messages_come(seed: int) -> None:
    random = Random(seed)
    stream = b"".join(random.choice(list(FRAMES.values())) for _ in range(300))
    if seed % 2:
        stream += b"\x83" + stream  # a reserved opcode
    whole = fed([stream], FrameParser(MAX_BYTES, Inflater()))
    turns, code = in_turns(stream, random.randint(1, 40), random.randint(0, 4000))
    assert ([message for turn in turns for message in turn], code) == whole


def test_what_was_kept_comes_before_what_is_fed_next() -> None:
    parser = FrameParser(MAX_BYTES)
    parser.keep(FRAMES["text"][:3])
    parser.keep(FRAMES["text"][3:] + FRAMES["ping"])
    assert parser.feed(FRAMES["binary"]) == [(TEXT, b"hello"), (PING, b""), (BINARY, b"\xff")]
    assert parser.rest is None


@pytest.mark.parametrize(
    ("stream", "oddity"),
    [
        (client_frame(TEXT, b"") + client_frame(CONTINUATION, b"a" * 63) + client_frame(FIN, b""), 2),
        (client_frame(TEXT, b"a" * 64) + client_frame(FIN, b"b"), 0),
        (client_frame(FINAL_TEXT, b""), 0),
        (client_frame(FINAL_TEXT | RSV1, compress(b"x" * 60_000)), 5),
        (client_frame(FINAL_TEXT | RSV1, compress(b"x" * 16_000)), 0),
        (client_frame(FINAL_TEXT | RSV1, compress(Random(1).randbytes(20_000).hex().encode())), 0),
    ],
)
def test_tiny_fragments_and_bombs_are_odd_and_nothing_else(stream: bytes, oddity: int) -> None:
    parser = FrameParser(MAX_BYTES, Inflater())
    parser.feed(stream)
    assert (parser.take_oddity(), parser.take_oddity()) == (oddity, 0)
