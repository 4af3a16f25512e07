"""What the frame layer takes, what it costs, and what the server sends (RFC 6455)."""

from __future__ import annotations

import tracemalloc

import pytest
from aiohttp._websocket.helpers import _websocket_mask_python

from gateway.websocket import frames
from gateway.websocket.deflate import Inflater
from gateway.websocket.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    FrameParser,
    frame,
    text_frame,
)
from tests.support.client_frames import (
    FIN,
    FINAL_BINARY,
    FINAL_TEXT,
    MAX_BYTES,
    RSV1,
    SHORT_PING,
    client_frame,
    each_way,
    fed,
    head,
    masked,
)


@pytest.mark.parametrize("length", [0, 1, 3, 4, 5, 124, 125, 126, 127, 128, 65535, 65536, 65537, MAX_BYTES])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_whole_frame_of_any_length_is_a_message(opcode: int, length: int) -> None:
    payload = bytes(97 + place % 26 for place in range(length))
    assert each_way(client_frame(FIN | opcode, payload)) == ([(opcode, payload)], 0)


@pytest.mark.parametrize(("length", "size"), [(0, 2), (5, 2), (125, 8), (126, 8), (65535, 8)])
def test_a_length_in_more_bytes_than_needed_is_taken(length: int, size: int) -> None:
    payload = b"x" * length
    assert each_way(client_frame(FINAL_TEXT, payload, size=size)) == ([(TEXT, payload)], 0)


@pytest.mark.parametrize("mask", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x01\x02\x03\x04"])
def test_every_mask_is_undone(mask: bytes) -> None:
    assert each_way(client_frame(FINAL_TEXT, b"hello, room", mask)) == ([(TEXT, b"hello, room")], 0)


def test_several_frames_in_one_read_come_in_order() -> None:
    texts = [b"one", b"", "zwölf".encode(), b"x" * 300]
    stream = b"".join(client_frame(FINAL_TEXT, text) for text in texts)
    stream += SHORT_PING + client_frame(FINAL_BINARY, b"\xff\0") + client_frame(FINAL_TEXT, b"last")
    expected = [(TEXT, text) for text in texts] + [(PING, b"p"), (BINARY, b"\xff\0"), (TEXT, b"last")]
    assert each_way(stream) == (expected, 0)


def test_payloads_are_bytes_on_every_way() -> None:
    stream = client_frame(FINAL_TEXT, b"a") + SHORT_PING + client_frame(TEXT, b"b") + client_frame(FIN, b"c")
    stream += client_frame(FIN | CLOSE)
    assert {type(payload) for _, payload in FrameParser(MAX_BYTES).feed(stream)} == {bytes}


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("parts", [[b"ab", b"cd"], [b"", b"", b""], [b"", b"x"], [b"x", b""], [b"a"] * 50])
def test_fragments_make_one_message(opcode: int, parts: list[bytes]) -> None:
    stream = b"".join(
        client_frame((opcode if place == 0 else CONTINUATION) | (FIN if place == len(parts) - 1 else 0), part)
        for place, part in enumerate(parts)
    )
    assert each_way(stream) == ([(opcode, b"".join(parts))], 0)


def test_control_frames_between_fragments_come_first() -> None:
    stream = client_frame(TEXT, b"a") + SHORT_PING + client_frame(CONTINUATION, b"b")
    stream += client_frame(FIN | PONG, b"q" * 125) + client_frame(FIN, b"c") + client_frame(FINAL_TEXT, b"d")
    expected = [(PING, b"p"), (PONG, b"q" * 125), (TEXT, b"abc"), (TEXT, b"d")]
    assert each_way(stream) == (expected, 0)


def test_a_character_may_be_cut_by_fragments() -> None:
    whole = "aé€😀".encode()
    stream = b"".join(
        client_frame(
            (TEXT if place == 0 else 0) | (FIN if place == len(whole) - 1 else 0), whole[place : place + 1]
        )
        for place in range(len(whole))
    )
    assert each_way(stream) == ([(TEXT, whole)], 0)


def test_binary_need_not_be_utf8() -> None:
    assert each_way(client_frame(BINARY, b"\xff") + client_frame(FIN, b"\xfe")) == (
        [(BINARY, b"\xff\xfe")],
        0,
    )


def test_nothing_gives_nothing() -> None:
    assert FrameParser(MAX_BYTES).feed(b"") == []


@pytest.mark.timeout(30)
def test_a_long_frame_in_many_reads_is_not_copied_again_for_each() -> None:
    # 16 MiB in reads of 1 KiB: copied anew for each these would be 130 GiB, beyond this test's time.
    payload = b"abcd" * (4 << 20)
    stream = head(FINAL_TEXT, len(payload)) + masked(b"abcd") * (4 << 20)
    parser = FrameParser(len(payload))
    pieces = [stream[at : at + 1024] for at in range(0, len(stream), 1024)]
    assert fed(pieces, parser) == ([(TEXT, payload)], 0)


def test_an_idle_parser_costs_less_than_a_hundred_bytes() -> None:
    inflater, stream = Inflater(), client_frame(TEXT, b"a") + SHORT_PING + client_frame(FIN, b"b" * 100)
    parsers: list[FrameParser] = [FrameParser(1)] * 1000
    tracemalloc.start()
    try:
        for place in range(1000):
            parsers[place] = FrameParser(MAX_BYTES, inflater)
            fed([stream[:30], stream[30:]], parsers[place])
        used_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used_bytes / 1000 < 100


def test_the_unmasking_without_compiled_code_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = b"".join(client_frame(FINAL_TEXT, b"x" * length) for length in (0, 1, 2, 3, 4, 5, 200))
    compiled = each_way(stream)
    monkeypatch.setattr(frames, "_unmask", _websocket_mask_python)
    assert each_way(stream) == compiled


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65535, 65536, 100_000])
def test_server_frames_are_unmasked_and_as_short_as_can_be(length: int) -> None:
    payload = b"z" * length
    assert frame(TEXT, payload) == head(FINAL_TEXT, length, is_masked=False) + payload
    assert text_frame(payload) == frame(TEXT, payload)
    assert frame(BINARY, payload, rsv1=True) == head(FINAL_BINARY | RSV1, length, is_masked=False) + payload
