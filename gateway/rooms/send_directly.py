"""One message to many sockets in one call, where the build has that (`deploy/fast/send.c`).

Owns which members may be written to by their descriptors: those whose transport is a plain stream socket; what is
encrypted must pass through its transport. In pure Python nothing is gained (4.05 µs a member against 4.09), so the
plain build never does it: docs/decisions/0036.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

try:
    from gateway.rooms._send import send_to_all

    CAN_SEND_DIRECTLY = True
except ImportError:
    CAN_SEND_DIRECTLY = False

DIRECTLY_FROM = 8
"""Fewer members are not worth a list of their sockets."""

Write = Callable[[bytes], None]
Socket = tuple[int, Callable[[], bool], Callable[[], int], Write]
"""A transport's descriptor, and its methods `is_closing`, `get_write_buffer_size` and `write`."""


class DirectSockets:
    """Some members of a room as sockets, and the rest as ways to write."""

    __slots__ = ("_others", "_sockets")

    def __init__(self, writes: Iterable[Write]) -> None:
        self._sockets: list[Socket] = []
        self._others: list[Write] = []
        for write in writes:
            found = _socket(write)
            if found is None:
                self._others.append(write)
            else:
                self._sockets.append(found)

    def write(self, data: bytes) -> None:
        """Writes the same bytes to all."""
        send_to_all(self._sockets, data)
        for write in self._others:
            write(data)


def _socket(write: Write) -> Socket | None:
    """The socket under a transport's method `write`; None for all that is not a plain stream socket."""
    transport: Any = getattr(write, "__self__", None)
    if not hasattr(transport, "get_extra_info") or transport.get_extra_info("sslcontext") is not None:
        return None
    found = transport.get_extra_info("socket")
    if found is None or found.fileno() < 0:
        return None
    return found.fileno(), transport.is_closing, transport.get_write_buffer_size, write
