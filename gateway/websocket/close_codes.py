"""Why a WebSocket ends: the close codes of RFC 6455 section 7.4, and the one exception of the frame layer.

Owns the rules for codes and reasons. Functions of values without I/O.
"""

from __future__ import annotations

from codecs import utf_8_decode

NORMAL = 1000
PROTOCOL_ERROR = 1002
NO_CODE = 1005
"""Never sent: stands for a CLOSE frame without a code."""
BAD_PAYLOAD = 1007
POLICY = 1008
TOO_BIG = 1009
INTERNAL_ERROR = 1011

_SURROGATE = b"\xed\xa0"
"""From here to ED BF begin surrogates: no UTF-8, but Python's decoder waits for the third byte to say so."""


class FrameError(Exception):
    """The client broke the protocol or a limit: the connection is to be closed with `code` and `reason`.

    `messages` are (opcode, payload) of those that the same input had completed before.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason
        self.messages: list[tuple[int, bytes]] = []


def is_sendable(code: int) -> bool:
    """Whether a CLOSE frame may hold this code: registered with IANA (1000-1003, 1007-1014), or 3000-4999."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def parse_close(payload: bytes) -> tuple[int, str]:
    """The code and reason of a CLOSE frame's payload; (1005, "") when it is empty.

    Raises FrameError: 1002 for a payload of one byte or a code that must not be sent, 1007 for a reason that
    is not UTF-8.
    """
    if not payload:
        return NO_CODE, ""
    if len(payload) == 1:
        raise FrameError(PROTOCOL_ERROR, "half a close code")
    code = payload[0] << 8 | payload[1]
    if not is_sendable(code):
        raise FrameError(PROTOCOL_ERROR, f"close code {code} must not be sent")
    check_utf8(payload[2:], True)
    return code, payload[2:].decode()


def check_utf8(text: bytes | bytearray, is_whole: bool) -> int:
    """How many bytes of `text` are whole characters, all of them if it must be whole.

    Raises FrameError 1007 as soon as `text` cannot become UTF-8, whatever may follow.
    """
    try:
        taken = utf_8_decode(text, "strict", is_whole)[1]
    except UnicodeDecodeError as cause:
        raise FrameError(BAD_PAYLOAD, "text must be UTF-8") from cause
    if taken < len(text) and _SURROGATE <= text[taken:] < b"\xee":
        raise FrameError(BAD_PAYLOAD, "text must be UTF-8")
    return taken
