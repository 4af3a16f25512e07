"""The frame layer of WebSocket (RFC 6455): bytes from a client in, messages out; messages in, frames out.

Owns the rules of the wire: masks, lengths, fragments, control frames, UTF-8. Promises that nothing a client sends
raises anything but `FrameError`, that a broken frame loses no message before it, and that the work is linear in the
bytes that arrive, however they are cut. Does no I/O, has no clock. Why it is our own: docs/decisions/0013.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

try:
    from aiohttp._websocket.mask import _websocket_mask_cython as _unmask
except ImportError:
    from aiohttp._websocket.helpers import websocket_mask as _unmask

from gateway.websocket.close_codes import (
    NO_CODE,
    PROTOCOL_ERROR,
    TOO_BIG,
    FrameError,
    check_utf8,
    is_sendable,
    parse_close,
)
from gateway.websocket.deflate import Inflater, oddity
from gateway.websocket.unfinished import TINY_BYTES, Unfinished

CONTINUATION: Final = 0
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10
_OPCODES = frozenset((CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG))

Message = tuple[int, bytes]

_FINAL: Final = 0x80
_RSV1: Final = 0x40
_RSV2_RSV3: Final = 0x30
_MASKED: Final = 0x80
_CONTROL_MAX_BYTES: Final = 125
_FINAL_TEXT: Final = _FINAL | TEXT
_medium_head: Final = Struct("!BBH").pack
_long_head: Final = Struct("!BBQ").pack
ALL: Final = 1 << 62  # no bound for what one call of `feed` may do
_SHORT_TEXT_HEADS: Final = tuple(bytes((_FINAL_TEXT, length)) for length in range(126))


class FrameParser:
    """Turns what one client sends into messages. Between whole messages it keeps four references and no bytes.

    `max_bytes` limits a message's payload, counted over its fragments and again after inflating. `inflater` is given
    when permessage-deflate was negotiated; it may be shared.
    Data messages come whole, control frames as they come between fragments. TEXT is valid UTF-8, CLOSE has a payload
    that `parse_close` takes. What follows a CLOSE frame is ignored.
    """

    __slots__ = ("_inflater", "_max_bytes", "_unfinished", "oddity", "rest")

    def __init__(self, max_bytes: int, inflater: Inflater | None = None) -> None:
        self._max_bytes = max_bytes
        self._inflater = inflater
        self._unfinished: Unfinished | None = None
        # What a call of `feed` left for the next one, and where in it to go on; None if it took everything.
        self.rest: tuple[bytes, int] | None = None
        self.oddity = 0  # see `take_oddity`

    def feed(self, data: bytes, most: int = ALL, most_bytes: int = ALL) -> list[Message]:
        """The messages that `data` completes, in order, as (opcode, payload). Raises FrameError for the first
        violation: its `messages` came before it, and every later call raises it again. One call takes about `most`
        frames and `most_bytes`, counted after inflating; what it leaves in `rest` is for the next call.
        """
        messages: list[Message] = []
        at = 0
        if self.rest is not None:
            data, at = self._with_rest(data)
        if self._unfinished is not None:
            return self._feed_any(data, at, messages, most, most_bytes)
        # Nearly all input is whole, final, masked text frames of less than 64 KiB. What is not exactly that, or is
        # wrong, is left to `_feed_any`.
        end, begun = len(data), at
        last = end - 6 if end - at <= most_bytes else at + most_bytes - 6
        try:
            while at <= last and data[at] == _FINAL_TEXT and most:
                length = data[at + 1] - _MASKED
                start = at + 6
                if length > 125:
                    if length == 127 or end - at < 8:
                        break
                    length = data[at + 2] << 8 | data[at + 3]
                    start = at + 8
                stop = start + length
                if length < 0 or stop > end or length > self._max_bytes:
                    break
                payload = bytearray(data[start:stop])
                _unmask(data[start - 4 : start], payload)
                if not payload.isascii():
                    payload.decode()
                messages.append((TEXT, bytes(payload)))
                at = stop
                most -= 1
        except UnicodeDecodeError:
            pass  # `at` is still in front of that frame
        if at == end:
            return messages
        return self._feed_any(data, at, messages, most, most_bytes - at + begun)

    def take_oddity(self) -> int:
        """How many frames came, since this was asked, that no honest client sends."""
        self.oddity, taken = 0, self.oddity
        return taken

    def keep(self, data: bytes) -> None:
        """Leaves `data` for the next call of `feed`."""
        self.rest = self._with_rest(data) if self.rest is not None else (data, 0)

    def forget(self) -> None:
        """Drops what is kept: the connection is gone."""
        self.rest = self._unfinished = None

    def _with_rest(self, data: bytes) -> tuple[bytes, int]:
        assert self.rest is not None
        (rest, at), self.rest = self.rest, None
        return (rest[at:] + data, 0) if data else (rest, at)

    def _feed_any(
        self, data: bytes, at: int, messages: list[Message], most: int, most_bytes: int
    ) -> list[Message]:
        """Everything that `feed` may meet, at its own pace: fragments, control frames, long frames, errors."""
        unfinished = self._unfinished
        if unfinished is None:
            unfinished = self._unfinished = Unfinished()
        elif unfinished.end is not None:
            if unfinished.end[0] == NO_CODE:
                return messages
            raise FrameError(*unfinished.end)
        elif unfinished.rest:
            data, unfinished.rest = unfinished.rest + data[at:], b""
            at = 0
        try:
            self._take(unfinished, data, at, messages, most, most_bytes)
        except FrameError as error:
            unfinished.end = error.code, error.reason
            error.messages = messages
            raise
        if unfinished.opcode == CONTINUATION and not unfinished.rest and unfinished.end is None:
            self._unfinished = None
        return messages

    def _take(
        self,
        unfinished: Unfinished,
        data: bytes,
        at: int,
        messages: list[Message],
        most: int,
        most_bytes: int,
    ) -> None:
        """Takes frames until everything is taken, or as much as one call may; what is left then is the rest."""
        end, taken = len(data), len(messages)
        while at < end:
            if most <= 0 or most_bytes < 0:
                self.rest = data, at
                return
            begun = at
            take = self._take_payload if unfinished.missing else self._take_frame
            at = take(unfinished, data, at, messages)
            most -= 1
            most_bytes -= at - begun
            if len(messages) > taken:
                most_bytes -= len(messages[taken][1])
                taken += 1

    def _take_frame(self, unfinished: Unfinished, data: bytes, at: int, messages: list[Message]) -> int:
        """Reads one frame's head, and a control frame whole; returns where to go on."""
        first, opcode = data[at], data[at] & 0x0F
        length, start = self._head(unfinished, data, at)
        if start > len(data) or (opcode >= CLOSE and start + length > len(data)):
            unfinished.rest = data[at:]
            return len(data)
        if opcode >= CLOSE:
            payload = bytearray(data[start : start + length])
            _unmask(data[start - 4 : start], payload)
            if opcode == CLOSE:
                parse_close(bytes(payload))
                unfinished.end = NO_CODE, ""
            messages.append((opcode, bytes(payload)))
            return start + length if unfinished.end is None else len(data)
        if opcode != CONTINUATION:
            unfinished.opcode = opcode
            unfinished.is_compressed = bool(first & _RSV1)
        unfinished.is_last = bool(first & _FINAL)
        if length < TINY_BYTES and not unfinished.is_last:
            self.oddity += 1
        unfinished.missing = length
        unfinished.mask = data[start - 4 : start]
        return start if length else self._take_payload(unfinished, data, start, messages)

    def _head(self, unfinished: Unfinished, data: bytes, at: int) -> tuple[int, int]:
        """A frame's payload length, and where its payload starts: beyond `data` if the head is not all there.

        Violations are raised as soon as the bytes that show them are there.
        """
        if len(data) - at < 2:
            return 0, len(data) + 1
        first, opcode, length = data[at], data[at] & 0x0F, data[at + 1] & 0x7F
        if first & _RSV2_RSV3 or (first & _RSV1 and (self._inflater is None or opcode not in (TEXT, BINARY))):
            raise FrameError(PROTOCOL_ERROR, "a reserved bit is set")
        if opcode not in _OPCODES:
            raise FrameError(PROTOCOL_ERROR, f"opcode {opcode} is reserved")
        if not data[at + 1] & _MASKED:
            raise FrameError(PROTOCOL_ERROR, "frames from a client must be masked")
        if opcode >= CLOSE:
            if not first & _FINAL or length > _CONTROL_MAX_BYTES:
                raise FrameError(PROTOCOL_ERROR, "a control frame must be whole and of at most 125 bytes")
        elif (opcode == CONTINUATION) != (unfinished.opcode != CONTINUATION):
            raise FrameError(PROTOCOL_ERROR, "a fragment is out of place")
        start = at + 6
        if length > 125:
            size = 2 if length == 126 else 8
            start += size
            if len(data) < at + 2 + size:
                return 0, len(data) + 1
            length = int.from_bytes(data[at + 2 : at + 2 + size])
        if opcode < CLOSE:
            self._check_length(unfinished, length, bool(first & _RSV1) or unfinished.is_compressed)
        return length, start

    def _check_length(self, unfinished: Unfinished, length: int, is_compressed: bool) -> None:
        if length >> 63:
            raise FrameError(PROTOCOL_ERROR, "a length of 64 bits must not have its first bit set")
        most = self._max_bytes
        if is_compressed:
            most += (most >> 3) + 64  # what cannot be compressed grows a little; counted again when inflated
        if len(unfinished.payload) + length > most:
            raise FrameError(TOO_BIG, f"a message may have {self._max_bytes} bytes")

    def _take_payload(self, unfinished: Unfinished, data: bytes, at: int, messages: list[Message]) -> int:
        """Takes what is there of a data frame's payload, and the message when that ends it."""
        stop = min(at + unfinished.missing, len(data))
        chunk = bytearray(data[at:stop])
        _unmask(unfinished.mask, chunk)
        rotated = (stop - at) & 3
        unfinished.mask = unfinished.mask[rotated:] + unfinished.mask[:rotated]
        unfinished.missing -= stop - at
        unfinished.payload += chunk
        is_whole = unfinished.is_last and not unfinished.missing
        if unfinished.opcode == TEXT and not unfinished.is_compressed:
            unfinished.valid += check_utf8(unfinished.payload[unfinished.valid :], is_whole)
        if is_whole:
            messages.append((unfinished.opcode, self._whole(unfinished)))
            unfinished.opcode, unfinished.is_compressed = CONTINUATION, False
            unfinished.payload, unfinished.valid = bytearray(), 0
        return stop

    def _whole(self, unfinished: Unfinished) -> bytes:
        payload = bytes(unfinished.payload)
        if unfinished.is_compressed and self._inflater is not None:
            packed_bytes = len(payload)
            payload = self._inflater.inflate(payload, self._max_bytes)
            self.oddity += oddity(packed_bytes, len(payload))
            if unfinished.opcode == TEXT:
                check_utf8(payload, True)
        return payload


def frame(opcode: int, payload: bytes, rsv1: bool = False) -> bytes:
    """A whole server frame (not masked); `rsv1` marks a payload made by `deflate.compress`."""
    first = _FINAL | opcode | (_RSV1 if rsv1 else 0)
    length = len(payload)
    if length < 126:
        return bytes((first, length)) + payload
    if length < 65536:
        return _medium_head(first, 126, length) + payload
    return _long_head(first, 127, length) + payload


def text_frame(payload: bytes) -> bytes:
    """`frame(TEXT, payload)`, faster."""
    if (length := len(payload)) < 126:
        return _SHORT_TEXT_HEADS[length] + payload
    return _medium_head(_FINAL_TEXT, 126, length) + payload if length < 65536 else frame(TEXT, payload)


def close_frame(code: int, reason: str = "") -> bytes:
    """A CLOSE frame; a reason of more than 123 bytes is cut after a whole character.

    1005 gives an empty payload, so that what `parse_close` returned can be sent back. Raises ValueError for
    any other code that must not be sent.
    """
    if code == NO_CODE:
        return frame(CLOSE, b"")
    if not is_sendable(code):
        raise ValueError(f"close code {code} must not be sent")
    text = reason.encode()[: _CONTROL_MAX_BYTES - 2].decode(errors="ignore").encode()
    return frame(CLOSE, code.to_bytes(2) + text)
