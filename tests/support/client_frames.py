"""A WebSocket client's frames, built without the gateway's frame layer, and what comes of them."""

from __future__ import annotations

from random import Random

from gateway.websocket.close_codes import FrameError
from gateway.websocket.deflate import Inflater
from gateway.websocket.frames import BINARY, PING, TEXT, FrameParser, Message

MASK = b"\x37\xfa\x21\x3d"
MAX_BYTES = 70_000
FIN, RSV1, RSV2, RSV3 = 0x80, 0x40, 0x20, 0x10
FINAL_TEXT, FINAL_BINARY = FIN | TEXT, FIN | BINARY


def masked(payload: bytes, mask: bytes = MASK) -> bytes:
    """The payload under its mask, and the other way round."""
    return bytes(byte ^ mask[place & 3] for place, byte in enumerate(payload))


def head(
    first: int, length: int, mask: bytes = MASK, size: int | None = None, is_masked: bool = True
) -> bytes:
    """A frame's head; `size` is the width of the length in bytes (1, 2, 8), the shortest if not given."""
    bit = 0x80 if is_masked else 0
    if size is None:
        size = 1 if length < 126 else 2 if length < 65536 else 8
    if size == 1:
        length_bytes = bytes([bit | length])
    else:
        length_bytes = bytes([bit | (126 if size == 2 else 127)]) + length.to_bytes(size)
    return bytes([first]) + length_bytes + (mask if is_masked else b"")


def client_frame(first: int, payload: bytes = b"", mask: bytes = MASK, size: int | None = None) -> bytes:
    """A whole masked frame; `first` is its first byte: FIN 0x80, RSV1 0x40, opcode."""
    return head(first, len(payload), mask, size) + masked(payload, mask)


def chopped(stream: bytes, random: Random, longest: int) -> list[bytes]:
    """The stream in pieces of random length up to `longest`."""
    pieces, at = [], 0
    while at < len(stream):
        stop = at + random.randint(1, longest)
        pieces.append(stream[at:stop])
        at = stop
    return pieces


SHORT_PING = client_frame(FIN | PING, b"p")


def fed(pieces: list[bytes], parser: FrameParser) -> tuple[list[Message], int]:
    """All messages of the pieces, and the error's code (0 for none)."""
    messages: list[Message] = []
    try:
        for piece in pieces:
            messages += parser.feed(piece)
    except FrameError as error:
        return messages + error.messages, error.code
    return messages, 0


def each_way(
    stream: bytes, inflater: Inflater | None = None, max_bytes: int = MAX_BYTES
) -> tuple[list[Message], int]:
    """What comes of a stream, having checked that it is the same in one piece and byte by byte."""
    whole = fed([stream], FrameParser(max_bytes, inflater))
    single = fed([stream[at : at + 1] for at in range(len(stream))], FrameParser(max_bytes, inflater))
    assert single == whole
    return whole
