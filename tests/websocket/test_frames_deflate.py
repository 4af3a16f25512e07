"""Compressed messages in the frame layer: fragments, violations, bombs (RFC 7692)."""

from __future__ import annotations

import zlib
from random import Random

import pytest

from gateway.websocket.deflate import Inflater, compress
from gateway.websocket.frames import BINARY, PING, TEXT, FrameParser
from tests.support.client_frames import (
    FIN,
    FINAL_BINARY,
    FINAL_TEXT,
    MAX_BYTES,
    RSV1,
    RSV2,
    SHORT_PING,
    client_frame,
    each_way,
    fed,
    head,
)


def deflated(payload: bytes, first: int, sizes: list[int]) -> bytes:
    """A compressed message, its compressed form cut into fragments after `sizes` bytes."""
    packed, cuts = compress(payload), [0, *sizes]
    parts = [packed[at:stop] for at, stop in zip(cuts, [*sizes, len(packed)], strict=True)]
    stream = b""
    for place, part in enumerate(parts):
        stream += client_frame(
            (first | RSV1 if place == 0 else 0) | (FIN if place == len(parts) - 1 else 0), part
        )
    return stream


@pytest.mark.parametrize("sizes", [[], [0], [1], [5, 6, 7], [0, 0, 3]])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_compressed_messages_are_inflated_over_fragments(opcode: int, sizes: list[int]) -> None:
    text = "Grüße an den Raum, Grüße an alle. ".encode() * 40
    stream = deflated(text, opcode, sizes) + client_frame(FINAL_TEXT, b"plain") + deflated(b"", opcode, [])
    assert each_way(stream, Inflater()) == ([(opcode, text), (TEXT, b"plain"), (opcode, b"")], 0)


def test_control_frames_come_between_compressed_fragments() -> None:
    packed = compress(b"hello hello hello")
    stream = client_frame(TEXT | RSV1, packed[:3]) + SHORT_PING + client_frame(FIN, packed[3:])
    assert each_way(stream, Inflater()) == ([(PING, b"p"), (TEXT, b"hello hello hello")], 0)


REFUSED_COMPRESSED = {
    "RSV1 on a continuation": (
        client_frame(TEXT | RSV1, b"") + client_frame(FIN | RSV1, compress(b"a")),
        1002,
    ),
    "RSV1 on the continuation of plain text": (
        client_frame(TEXT, b"a") + client_frame(FIN | RSV1, b"b"),
        1002,
    ),
    "RSV1 on a ping": (client_frame(FIN | RSV1 | PING), 1002),
    "RSV2 beside RSV1": (client_frame(FINAL_TEXT | RSV1 | RSV2, compress(b"a")), 1002),
    "no deflate stream": (client_frame(FINAL_BINARY | RSV1, b"\xff" * 20), 1007),
    "inflated text that is not UTF-8": (client_frame(FINAL_TEXT | RSV1, compress(b"\xff" * 9)), 1007),
    "a bomb": (client_frame(FINAL_BINARY | RSV1, compress(bytes(50_000_000))), 1009),
    "one byte too many": (client_frame(FINAL_BINARY | RSV1, compress(bytes(MAX_BYTES + 1))), 1009),
    "too much even compressed": (head(FINAL_BINARY | RSV1, MAX_BYTES * 2), 1009),
    "too much compressed over fragments": (
        client_frame(BINARY | RSV1, bytes(60_000)) + head(0, 60_000),
        1009,
    ),
}


@pytest.mark.parametrize(("stream", "code"), REFUSED_COMPRESSED.values(), ids=REFUSED_COMPRESSED)
def test_violations_with_compression_have_their_code(stream: bytes, code: int) -> None:
    before = client_frame(FINAL_TEXT, b"kept")
    assert each_way(before + stream, Inflater()) == ([(TEXT, b"kept")], code)


def test_what_cannot_be_compressed_may_still_be_as_long_as_the_limit() -> None:
    noise = Random(7).randbytes(MAX_BYTES)
    stored = zlib.compressobj(0, zlib.DEFLATED, -15, 1)
    packed = (stored.compress(noise) + stored.flush(zlib.Z_SYNC_FLUSH))[:-4]
    assert len(packed) > MAX_BYTES
    assert fed([client_frame(FINAL_BINARY | RSV1, packed)], FrameParser(MAX_BYTES, Inflater())) == (
        [(BINARY, noise)],
        0,
    )
