"""One message to many sockets in one call: by io_uring, where the kernel lets us. The fast build does that in C,
and has a loop in C for where it may not.

Owns which members may be written to by their descriptors: those whose transport is a plain stream socket; what is
encrypted must pass through its transport. Promises what the transports promise: each is asked, right before its
descriptor is used, whether it is closing (its descriptor may be somebody else's by now) and whether something waits in
it; then it gets the bytes itself, and so it does with all that the kernel does not take at once. So order, write-buffer
marks and errors stay the transport's. Nothing but a transport's `write` can run other code.

A send for each from Python gains nothing over the transport (4.05 µs a member against 4.09). One system call for all
does: docs/decisions/0036 and 0039.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from gateway import io_uring

try:
    from gateway.rooms._send import send_to_all

    HAS_LOOP = True
except ImportError:
    HAS_LOOP = False

LOOP_FROM: Final = 5
"""With fewer members a list of their sockets is not worth it, where C goes through it."""
RING_FROM: Final = 16
"""With fewer members the ring is not: a call costs some 15 µs by itself, and a member 2 less."""

Write = Callable[[bytes], None]
Socket = tuple[int, Callable[[], bool], Callable[[], int], Write]
"""A transport's descriptor, and its methods `is_closing`, `get_write_buffer_size` and `write`."""


def direct_from() -> int:
    """From how many members on `DirectSockets` are worth it."""
    if HAS_LOOP:
        return LOOP_FROM
    return RING_FROM if io_uring.ring() is not None else sys.maxsize


class DirectSockets:
    """Some members of a room as sockets, and the rest as ways to write."""

    __slots__ = ("_others", "_requests", "_ring", "_sockets")

    def __init__(self, writes: Iterable[Write]) -> None:
        self._sockets: list[Socket] = []
        self._others: list[Write] = []
        for write in writes:
            found = _socket(write)
            if found is None:
                self._others.append(write)
            else:
                self._sockets.append(found)
        self._ring = None if HAS_LOOP else io_uring.ring()
        self._requests = b"" if self._ring is None else _requests(self._ring, self._sockets)

    def write(self, data: bytes) -> None:
        """Writes the same bytes to all."""
        if HAS_LOOP:
            send_to_all(self._sockets, data, io_uring.is_allowed())
        elif self._ring is not None and self._ring.is_open:
            self._write_by_ring(self._ring, data)
        else:
            for _, _, _, write in self._sockets:
                write(data)
        for write in self._others:
            write(data)

    def _write_by_ring(self, ring: io_uring.SendRing, data: bytes) -> None:
        sockets, requests = self._sockets, self._requests
        for _, is_closing, waiting_bytes, _ in sockets:
            if is_closing() or waiting_bytes():
                sockets, apart = _parted(sockets)
                requests = _requests(ring, sockets)
                break
        else:
            apart = ()
        # First all sends, then what may run other code, by which transports may close.
        unsent = ring.send(requests, data) if sockets else ()
        for place, sent in unsent:
            # Nothing was sent: the very same bytes, so that all who are slow share them.
            sockets[place][3](data[sent:] if sent else data)
        for write in apart:
            write(data)


def _parted(sockets: Iterable[Socket]) -> tuple[list[Socket], Sequence[Write]]:
    """Those that may be sent to, and how the others are written to."""
    free: list[Socket] = []
    apart: list[Write] = []
    for each in sockets:
        _, is_closing, waiting_bytes, write = each
        if is_closing() or waiting_bytes():
            apart.append(write)
        else:
            free.append(each)
    return free, apart


def _requests(ring: io_uring.SendRing, sockets: Sequence[Socket]) -> bytes:
    return b"".join(ring.request(each[0], place) for place, each in enumerate(sockets))


def _socket(write: Write) -> Socket | None:
    """The socket under a transport's method `write`; None for all that is not a plain stream socket."""
    transport: Any = getattr(write, "__self__", None)
    if not hasattr(transport, "get_extra_info") or transport.get_extra_info("sslcontext") is not None:
        return None
    found = transport.get_extra_info("socket")
    if found is None or found.fileno() < 0:
        return None
    return found.fileno(), transport.is_closing, transport.get_write_buffer_size, write
