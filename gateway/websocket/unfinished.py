"""What a frame parser remembers between reads that end inside of a message.

Owns the fields of that memory, no rule.
"""

from __future__ import annotations

NO_MESSAGE = 0
"""The opcode while no message is open: that of a continuation, which cannot begin one."""

TINY_BYTES = 64
"""A fragment that is shorter, and not its message's last, is odd: libraries cut at 1 KiB and more, and Autobahn's
smallest fragments in bulk have 64 bytes. A last one may be empty: some libraries end a stream so."""


class Unfinished:
    """That memory; most of the time there is none.

    rest           the start of a frame whose head (or control frame that) has not all arrived, at most 130 bytes
    opcode         TEXT or BINARY while a message is open, else NO_MESSAGE
    is_compressed  whether the open message is
    payload        what has arrived of the open message, unmasked, over all its frames
    valid          how many bytes of `payload` are whole UTF-8 characters
    missing        bytes that the open data frame has announced and that have not arrived
    is_last        whether the open data frame is the last of its message
    mask           the open data frame's mask, rotated so that it fits the next byte to arrive
    end            set when nothing more is read: code and reason of the error, NO_CODE after a CLOSE frame
    """

    __slots__ = ("end", "is_compressed", "is_last", "mask", "missing", "opcode", "payload", "rest", "valid")

    def __init__(self) -> None:
        self.rest = self.mask = b""
        self.opcode = NO_MESSAGE
        self.is_compressed = self.is_last = False
        self.payload = bytearray()
        self.valid = self.missing = 0
        self.end: tuple[int, str] | None = None
