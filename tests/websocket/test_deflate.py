"""permessage-deflate: what is agreed, and messages in and out of compression."""

from __future__ import annotations

import tracemalloc
import zlib
from random import Random

import pytest

from gateway.websocket.close_codes import FrameError
from gateway.websocket.deflate import Deflate, Inflater, compress, negotiate

BASE = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
NAME = "permessage-deflate"

AGREED = {
    NAME: (BASE, 15),
    f"{NAME}; client_max_window_bits": (f"{BASE}; client_max_window_bits=15", 15),
    f"{NAME}; client_max_window_bits=8": (f"{BASE}; client_max_window_bits=8", 15),
    f"{NAME}; client_max_window_bits=12": (f"{BASE}; client_max_window_bits=12", 15),
    f"{NAME}; server_max_window_bits=9": (f"{BASE}; server_max_window_bits=9", 9),
    f"{NAME}; server_max_window_bits=15": (f"{BASE}; server_max_window_bits=15", 15),
    f"{NAME}; server_no_context_takeover": (BASE, 15),
    f"{NAME}; client_no_context_takeover; server_no_context_takeover": (BASE, 15),
    f'{NAME}; server_max_window_bits="10"': (f"{BASE}; server_max_window_bits=10", 10),
    f'{NAME}; server_max_window_bits="1\\0"': (f"{BASE}; server_max_window_bits=10", 10),
    f"  {NAME}  ;\tserver_max_window_bits = 11 ": (f"{BASE}; server_max_window_bits=11", 11),
    f"{NAME.upper()}; Server_Max_Window_Bits=11": (f"{BASE}; server_max_window_bits=11", 11),
    f", ,{NAME},,": (BASE, 15),
    f"x-webkit-deflate-frame, {NAME}": (BASE, 15),
    f'other; text="a, b; {NAME}; \\""; n=1, {NAME}; server_max_window_bits=13': (
        f"{BASE}; server_max_window_bits=13",
        13,
    ),
    f"{NAME}; server_max_window_bits=8, {NAME}": (BASE, 15),
    f"{NAME}; unknown, {NAME}; server_max_window_bits=10, {NAME}": (f"{BASE}; server_max_window_bits=10", 10),
    f"{NAME}; server_max_window_bits=9; client_max_window_bits, {NAME}": (
        f"{BASE}; server_max_window_bits=9; client_max_window_bits=15",
        9,
    ),
}


@pytest.mark.parametrize(("offers", "agreed"), AGREED.items())
def test_the_first_offer_that_can_be_met_is_taken(offers: str, agreed: tuple[str, int]) -> None:
    assert negotiate(offers) == Deflate(*agreed)


@pytest.mark.parametrize(
    "offers",
    [
        None,
        "",
        " ",
        ",",
        "x-webkit-deflate-frame",
        "permessage-bzip2",
        f"{NAME}; server_max_window_bits",
        *(
            f"{NAME}; server_max_window_bits={bits}"
            for bits in ("7", "8", "16", "09", "+9", "-9", "1e1", "x", '""')
        ),
        *(f"{NAME}; client_max_window_bits={bits}" for bits in ("7", "16", "08", "x", '""')),
        f"{NAME}; server_no_context_takeover=1",
        f"{NAME}; client_no_context_takeover=true",
        f'{NAME}; client_no_context_takeover=""',
        f"{NAME}; unknown",
        f"{NAME}; unknown=1",
        f"{NAME}; server_no_context_takeover; server_no_context_takeover",
        f"{NAME}; client_max_window_bits; client_max_window_bits=10",
    ],
)
def test_an_offer_that_cannot_be_met_is_declined(offers: str | None) -> None:
    assert negotiate(offers) is None


@pytest.mark.parametrize(
    "offers",
    [
        f"{NAME};",
        f"{NAME}; ;server_no_context_takeover",
        f"{NAME}=1",
        f"{NAME} client_max_window_bits",
        f"{NAME}; server_max_window_bits=",
        f'{NAME}; server_max_window_bits="10',
        f'{NAME}; server_max_window_bits="10"x',
        f"{NAME}; =10",
        f"{NAME}, (comment)",
        f"{NAME}, é",
        f"{NAME}\n",
    ],
)
def test_a_header_that_cannot_be_read_is_no_offer(offers: str) -> None:
    assert negotiate(offers) is None


@pytest.mark.timeout(20)
@pytest.mark.parametrize("piece", [" ", "a", ";", ",", '"', '\\"', "a;", "a=", 'a="', "a ;b=c ,"])
def test_a_long_header_is_read_in_linear_time(piece: str) -> None:
    assert negotiate(piece * 200_000 + "\0") is None


@pytest.mark.parametrize("window_bits", range(9, 16))
@pytest.mark.parametrize("size", [0, 1, 100, 1024, 40_000, 65_536])
def test_a_message_survives_compression_with_every_window(window_bits: int, size: int) -> None:
    random = Random(size)
    for message in (b"chat " * (size // 5), random.randbytes(size)):
        packed = compress(message, window_bits)
        assert not packed.endswith(b"\x00\x00\xff\xff") or not message
        assert Inflater().inflate(packed, size) == message
        client = zlib.decompressobj(-window_bits)
        assert client.decompress(packed + b"\x00\x00\xff\xff") == message


def test_one_inflater_keeps_nothing_between_messages() -> None:
    inflater = Inflater()
    packed = compress(b"hello " * 20)
    assert inflater.inflate(packed, 1000) == inflater.inflate(packed, 1000)
    with pytest.raises(FrameError):
        inflater.inflate(b"\xff", 1000)
    assert inflater.inflate(packed, 1000) == b"hello " * 20


@pytest.mark.parametrize(
    "packed",
    [
        "f248cdc9c90700",  # RFC 7692 section 7.2.3.1: one block
        "000500faff48656c6c6f00",  # 7.2.3.3: a block without compression
        "f348cdc9c9070000",  # 7.2.3.4: a block marked as the last
        "f24805000000ffffcac9c90700",  # 7.2.3.5: two blocks
    ],
)
def test_the_examples_of_the_rfc_say_hello(packed: str) -> None:
    assert Inflater().inflate(bytes.fromhex(packed), 5) == b"Hello"


def test_an_empty_message_made_by_hand_is_empty() -> None:
    assert Inflater().inflate(b"\x00", 0) == b""  # RFC 7692 section 7.2.3.6


@pytest.mark.parametrize("flush", [zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH])
@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_every_way_to_compress_is_understood(level: int, flush: int) -> None:
    message = b"a room of one's own " * 500
    deflating = zlib.compressobj(level, zlib.DEFLATED, -15)
    packed = deflating.compress(message[:3000]) + deflating.flush(flush)
    packed += deflating.compress(message[3000:]) + deflating.flush(flush)
    assert Inflater().inflate(packed[:-4], len(message)) == message


BROKEN = {
    "noise": b"\xff" * 30,
    "nothing at all": b"",
    "a reserved kind of block": b"\x06",
    "a reference to before the start": compress(b"abcdefgh" * 50)[12:],
    "cut short": compress(Random(3).randbytes(50) * 4)[:-40],
    "more after the last block": bytes.fromhex("f348cdc9c9070000") + compress(b"more"),
}


@pytest.mark.parametrize("packed", BROKEN.values(), ids=BROKEN)
def test_a_broken_stream_is_refused_as_bad_payload(packed: bytes) -> None:
    with pytest.raises(FrameError) as refused:
        Inflater().inflate(packed, 10_000)
    assert refused.value.code == 1007


@pytest.mark.parametrize("most", [0, 1, 99_999])
def test_inflating_beyond_the_limit_is_too_big(most: int) -> None:
    with pytest.raises(FrameError) as refused:
        Inflater().inflate(compress(bytes(100_000)), most)
    assert refused.value.code == 1009
    assert Inflater().inflate(compress(bytes(100_000)), 100_000) == bytes(100_000)


def test_a_bomb_is_never_inflated() -> None:
    bomb = compress(bytes(20_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(FrameError):
            Inflater().inflate(bomb, 65_536)
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most_bytes < 500_000
