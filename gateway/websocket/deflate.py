"""permessage-deflate (RFC 7692): what is agreed with a client, and one message in or out of it.

Owns the extension's header and its zlib. Promises that nothing is kept between messages in either direction,
so that an idle connection costs no memory for it and one compressed message serves all members with the same
window, and that inflating never makes more than a byte beyond the limit. Does no I/O.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

from gateway.websocket.close_codes import BAD_PAYLOAD, TOO_BIG, FrameError

COMPRESS_FROM_BYTES = 1024
"""A shorter message is sent as it is: it fits one packet anyway, and deflating takes 55 µs for 1 KiB."""

WINDOW_BITS = zlib.MAX_WBITS
"""The window of a message that is compressed once for many recipients."""

BOMB_BYTES, BOMB_RATIO, BOMB_ODDITY = 16_384, 100, 5
"""A message of more bytes that was compressed more than so many times is a bomb, and as odd as five tiny fragments, for
what it costs. Text is compressed 3 to 20 times; nothing but one repeated character reaches 100."""

_NAME = "permessage-deflate"
_TAIL = b"\x00\x00\xff\xff"
_LAST_BLOCK = b"\x01\x00\x00\xff\xff"
_LEVEL = 1
"""4 KiB of chat: 80 µs and 1,403 bytes; level 6 takes 95 µs for 1,245. 16 KiB: 88 µs against 279 µs."""

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PART = re.compile(rf'[ \t]*({_TOKEN})[ \t]*(?:=[ \t]*(?:({_TOKEN})|"((?:[^"\\]|\\.)*)")[ \t]*)?([;,]|\Z)')
_EMPTY = re.compile(r"[ \t]*(?:,|\Z)")
_FLAGS = ("server_no_context_takeover", "client_no_context_takeover")
_BITS = {str(bits): bits for bits in range(8, 16)}

Parameter = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class Deflate:
    """What was agreed: the response's Sec-WebSocket-Extensions, and the window the server compresses with."""

    response_header: str
    compress_window_bits: int


def negotiate(offers: str | None) -> Deflate | None:
    """Takes the first offer of a Sec-WebSocket-Extensions header that can be met; None when there is none.

    An offer with a parameter that is unknown, doubled or out of range is passed over (RFC 7692 section 7.1),
    as is `server_max_window_bits=8`, which zlib cannot make. A header that cannot be read is no offer at all.
    """
    for name, parameters in _read_offers(offers or ""):
        if name == _NAME:
            agreed = _agree(parameters)
            if agreed is not None:
                return agreed
    return None


def _read_offers(header: str) -> list[tuple[str, list[Parameter]]]:
    """The header's offers in order, names in lower case, quoted values unquoted; [] if it is malformed."""
    offers: list[tuple[str, list[Parameter]]] = []
    at, is_new = 0, True
    while at < len(header):
        if is_new and (empty := _EMPTY.match(header, at)):
            at = empty.end()
            continue
        part = _PART.match(header, at)
        if part is None or (is_new and "=" in part[0]):
            return []
        value = part[2] if part[3] is None else re.sub(r"\\(.)", r"\1", part[3])
        if is_new:
            offers.append((part[1].lower(), []))
        else:
            offers[-1][1].append((part[1].lower(), value))
        at, is_new = part.end(), part[4] != ";"
    return offers if is_new else []


def _agree(parameters: list[Parameter]) -> Deflate | None:
    asked = dict(parameters)
    if len(asked) != len(parameters):
        return None
    response = [_NAME, *_FLAGS]
    window_bits = 15
    for name, value in parameters:
        bits = _BITS.get(value or "")
        if name in _FLAGS:
            if value is not None:
                return None
        elif name == "server_max_window_bits":
            if bits is None or bits == 8:
                return None
            window_bits = bits
            response.append(f"{name}={bits}")
        elif name == "client_max_window_bits":
            if value is not None and bits is None:
                return None
            response.append(f"{name}={bits or 15}")
        else:
            return None
    return Deflate("; ".join(response), window_bits)


_AFTER_LAST_BLOCK = (b"", (_TAIL + _LAST_BLOCK).lstrip(b"\x00"))
"""What may follow the last block: nothing, or (when the client marked its own as the last) what we added."""


class Inflater:
    """Undoes a client's compression, one message at a time. Keeps nothing: one serves all connections."""

    __slots__ = ()

    def inflate(self, payload: bytes, max_bytes: int) -> bytes:
        """A message's payload as it was before compression.

        Raises FrameError: 1009 beyond `max_bytes`; 1007 for what is no deflate stream, stops in the middle of
        one, or goes on after a block that said it was the last.
        """
        inflating = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            # A last block of our own: zlib reaches it only if the message's own blocks are whole.
            message = inflating.decompress(payload + _TAIL + _LAST_BLOCK, max_bytes + 1)
        except zlib.error as cause:
            raise FrameError(BAD_PAYLOAD, "the message is no deflate stream") from cause
        if len(message) > max_bytes:
            raise FrameError(TOO_BIG, f"a message may have {max_bytes} bytes")
        if not inflating.eof or inflating.unused_data.lstrip(b"\x00") not in _AFTER_LAST_BLOCK:
            raise FrameError(BAD_PAYLOAD, "the deflate stream stops early or late")
        return message


def oddity(packed_bytes: int, whole_bytes: int) -> int:
    """How odd a compressed message of these sizes is: 0 unless it is a bomb."""
    return BOMB_ODDITY if whole_bytes > max(BOMB_BYTES, BOMB_RATIO * packed_bytes) else 0


def compress(payload: bytes, window_bits: int = WINDOW_BITS) -> bytes:
    """One message's payload for `frame(opcode, …, rsv1=True)`; `window_bits` (9 to 15) as agreed.

    The 00 00 ff ff that a flush leaves at the end is cut off (RFC 7692 section 7.2.1).
    """
    deflating = zlib.compressobj(_LEVEL, zlib.DEFLATED, -window_bits)
    return (deflating.compress(payload) + deflating.flush(zlib.Z_SYNC_FLUSH))[: -len(_TAIL)]
