"""Violations of RFC 6455: each with its close code, as early as can be, and nothing lost."""

from __future__ import annotations

import pytest

from gateway.websocket.close_codes import FrameError, check_utf8
from gateway.websocket.frames import BINARY, CLOSE, CONTINUATION, PING, TEXT, FrameParser
from tests.support.client_frames import (
    FIN,
    FINAL_BINARY,
    FINAL_TEXT,
    MAX_BYTES,
    RSV1,
    RSV2,
    RSV3,
    SHORT_PING,
    client_frame,
    each_way,
    fed,
    head,
    masked,
)

REFUSED = {
    "no mask": (head(FINAL_TEXT, 1, is_masked=False) + b"a", 1002),
    "no mask on a ping": (head(FIN | PING, 0, is_masked=False), 1002),
    "no mask, 16-bit length": (head(FINAL_TEXT, 200, is_masked=False) + b"a" * 200, 1002),
    "RSV1 without extension": (client_frame(FINAL_TEXT | RSV1, b"a"), 1002),
    "RSV2": (client_frame(FINAL_TEXT | RSV2, b"a"), 1002),
    "RSV3": (client_frame(FINAL_TEXT | RSV3, b"a"), 1002),
    "all reserved bits on a close": (client_frame(FIN | RSV1 | RSV2 | RSV3 | CLOSE), 1002),
    **{
        f"opcode {opcode}": (client_frame(FIN | opcode), 1002)
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
    },
    "fragmented ping": (client_frame(PING, b"a"), 1002),
    "fragmented close": (client_frame(CLOSE), 1002),
    "ping of 126 bytes": (client_frame(FIN | PING, b"a" * 126), 1002),
    "ping with a 64-bit length": (client_frame(FIN | PING, b"", size=8), 1002),
    "continuation of nothing": (client_frame(FIN, b"a"), 1002),
    "open continuation of nothing": (client_frame(CONTINUATION, b"a"), 1002),
    "new message before the end of the last": (
        client_frame(TEXT, b"a") + client_frame(FINAL_TEXT, b"b"),
        1002,
    ),
    "new fragment before the end of the last": (client_frame(TEXT, b"") + client_frame(BINARY, b"b"), 1002),
    "first bit of a 64-bit length": (head(FINAL_BINARY, 1 << 63, size=8), 1002),
    "one byte too many": (head(FINAL_TEXT, MAX_BYTES + 1), 1009),
    "far too many bytes": (head(FINAL_BINARY, (1 << 63) - 1, size=8), 1009),
    "too many bytes over fragments": (client_frame(TEXT, b"a" * MAX_BYTES) + head(CONTINUATION, 1), 1009),
    "text that is not UTF-8": (client_frame(FINAL_TEXT, b"caf\xe9!"), 1007),
    "text that ends inside of a character": (client_frame(FINAL_TEXT, b"\xe2\x82"), 1007),
    "text whose last fragment is missing a byte": (
        client_frame(TEXT, b"\xe2") + client_frame(FIN, b"\x82"),
        1007,
    ),
    "half a close code": (client_frame(FIN | CLOSE, b"\x03"), 1002),
    "close reason that is not UTF-8": (client_frame(FIN | CLOSE, b"\x03\xe8\xff"), 1007),
    "close reason that ends early": (client_frame(FIN | CLOSE, b"\x03\xe8\xe2\x82"), 1007),
}


@pytest.mark.parametrize(("stream", "code"), REFUSED.values(), ids=REFUSED)
def test_a_violation_ends_with_its_code_and_loses_nothing_before_it(stream: bytes, code: int) -> None:
    assert each_way(stream) == ([], code)
    before = client_frame(FINAL_TEXT, b"kept") + SHORT_PING
    assert each_way(before + stream) == ([(TEXT, b"kept"), (PING, b"p")], code)


def test_nothing_continues_a_message_that_has_ended() -> None:
    stream = client_frame(TEXT) + client_frame(FIN, b"a")
    assert each_way(stream + client_frame(FIN, b"b")) == ([(TEXT, b"a")], 1002)
    assert each_way(client_frame(FINAL_TEXT, b"a") + client_frame(FIN, b"b")) == ([(TEXT, b"a")], 1002)


@pytest.mark.parametrize("after", [b"", SHORT_PING, client_frame(FINAL_TEXT, b"more")])
def test_after_a_violation_input_is_refused_for_the_same_reason(after: bytes) -> None:
    parser = FrameParser(MAX_BYTES)
    with pytest.raises(FrameError) as first:
        parser.feed(client_frame(FINAL_TEXT, b"kept") + client_frame(FINAL_TEXT, b"\xff"))
    with pytest.raises(FrameError) as second:
        parser.feed(after)
    assert first.value.messages == [(TEXT, b"kept")]
    assert (second.value.code, second.value.reason) == (first.value.code, first.value.reason)
    assert second.value.messages == []


def test_a_length_is_refused_before_its_mask_and_payload_arrive() -> None:
    with pytest.raises(FrameError) as refused:
        FrameParser(10).feed(head(FINAL_TEXT, 11)[:2])
    assert refused.value.code == 1009


@pytest.mark.parametrize("parts", [[MAX_BYTES], [MAX_BYTES - 1, 1], [0, MAX_BYTES], [35_000, 35_000]])
def test_the_limit_itself_is_allowed_over_fragments(parts: list[int]) -> None:
    stream = b"".join(
        client_frame((BINARY if place == 0 else 0) | (FIN if place == len(parts) - 1 else 0), bytes(part))
        for place, part in enumerate(parts)
    )
    assert fed([stream], FrameParser(MAX_BYTES)) == ([(BINARY, bytes(MAX_BYTES))], 0)


def test_the_limit_is_counted_per_message() -> None:
    stream = client_frame(BINARY, b"12345") + client_frame(FIN, b"67890")
    assert each_way(stream * 3, max_bytes=10) == ([(BINARY, b"1234567890")] * 3, 0)
    assert each_way(client_frame(FINAL_TEXT, b"1" * 10) * 3, max_bytes=10) == ([(TEXT, b"1" * 10)] * 3, 0)


def test_control_frames_are_not_counted_against_the_limit() -> None:
    stream = client_frame(TEXT, b"12345") + client_frame(FIN | PING, b"p" * 125) + client_frame(FIN, b"67890")
    assert each_way(stream, max_bytes=10) == ([(PING, b"p" * 125), (TEXT, b"1234567890")], 0)


HOPELESS = [
    b"\x80",
    b"\xc0",
    b"\xc1",
    b"\xf5",
    b"\xff",
    b"\xe0\x80",
    b"\xed\xa0",
    b"\xed\xbf",
    b"\xf0\x80",
    b"\xf4\x90",
]
HOPELESS += [b"\xc3a", b"\xe2\x82a", b"\xf0\x9f\x98a", b"\xe2\xe2"]


@pytest.mark.parametrize("bad", HOPELESS)
@pytest.mark.parametrize("good", [b"", b"abc", "κόσμε".encode()])
def test_hopeless_text_is_refused_in_the_fragment_that_shows_it(good: bytes, bad: bytes) -> None:
    assert each_way(client_frame(TEXT, good) + client_frame(CONTINUATION, bad)) == ([], 1007)


@pytest.mark.parametrize("bad", HOPELESS)
def test_hopeless_text_is_refused_before_its_frame_is_whole(bad: bytes) -> None:
    parser = FrameParser(MAX_BYTES)
    assert parser.feed(head(FINAL_TEXT, 1000) + masked(b"good")) == []
    with pytest.raises(FrameError) as refused:
        parser.feed(masked(bad))
    assert refused.value.code == 1007


@pytest.mark.parametrize(
    "start", [b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\xed\x9f", b"\xf4\x8f", b"\xe0\xa0"]
)
def test_a_character_that_may_still_be_completed_is_waited_for(start: bytes) -> None:
    assert each_way(client_frame(TEXT, start)) == ([], 0)


@pytest.mark.parametrize(
    "edge", ["\0", "\x7f", "\x80", "߿", "ࠀ", "퟿", "\ue000", "\ufffe", "\uffff", "𐀀", "\U0010ffff"]
)
def test_every_kind_of_character_is_text(edge: str) -> None:
    assert each_way(client_frame(FINAL_TEXT, edge.encode())) == ([(TEXT, edge.encode())], 0)


def test_every_start_of_two_bytes_is_judged_as_soon_as_it_can_be() -> None:
    def can_become_text(start: bytes) -> bool:
        tails = (b"", b"\x80", b"\x80\x80", b"\xa0\x80", b"\x80\x80\x80", b"\x90\x80\x80")
        return any((start + tail).decode(errors="replace").count("\ufffd") == 0 for tail in tails)

    for number in range(65536):
        start = number.to_bytes(2)
        try:
            check_utf8(start, False)
            is_taken = True
        except FrameError:
            is_taken = False
        assert is_taken == can_become_text(start), start
