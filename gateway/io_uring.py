"""io_uring: the same bytes to many sockets in one system call (Linux 6.1 and newer, where the kernel lets us).

Owns the one ring of a worker, and what of the kernel's interface it needs (io_uring_setup(2), io_uring_enter(2)); knows
nothing of rooms. A worker that may not have one, in a container that forbids it say, has none, and writes as before.

The ring is used by the thread of the event loop alone. A send never waits: what a socket does not take at once is told,
and is the caller's. So all is over when the call returns, and nothing of it lives on: neither the bytes nor a request.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import sys
from collections.abc import Callable, Sequence
from typing import Final

import structlog

log = structlog.get_logger("gateway.io_uring")

ENTRIES: Final = 512
"""Sends in one call: 32 KiB of requests and 16 of answers. More go in several calls."""

SEND_BYTES: Final = 64
"""Of one request (struct io_uring_sqe)."""

SETUP, ENTER = 425, 426
"""Numbers of the system calls, the same on each machine that Linux 6.1 and Python run on."""

SINGLE_ISSUER, DEFER_TASKRUN, GETEVENTS = 1 << 12, 1 << 13, 1
SENDMSG, DONTWAIT, NOSIGNAL = 9, 0x40, 0x4000
TRIES: Final = 100
"""How often the kernel may say that it takes requests later, before a worker goes on without it."""

SQES_AT: Final = 0x10000000
BYTES_AT: Final = bytes.__basicsize__ - 1
"""Where the bytes of a `bytes` are, from its beginning (CPython's PyBytesObject; what asks ctypes takes 2 µs)."""
POPULATE: Final = 0x8000

_SEND = struct.Struct("<BBHiQQIIQQQQ")
_PARAMS = struct.Struct("<10I 8IQ 8IQ")
_MESSAGE_HEADER = struct.Struct("@P I 4x P N P N i 4x")
_VECTOR = struct.Struct("@P N")
_MODULO: Final = 0xFFFFFFFF

Unsent = Sequence[tuple[int, int]]
"""Of each send that was not whole: its number, and how many bytes the socket took."""


class SendRing:
    """One ring. Raises OSError where the kernel has none for us."""

    def __init__(self, entries: int = ENTRIES) -> None:
        self._system_call = _system_call()
        params = ctypes.create_string_buffer(_PARAMS.size)
        struct.pack_into("<I", params, 8, SINGLE_ISSUER | DEFER_TASKRUN)
        self._descriptor = self._system_call(SETUP, entries, ctypes.byref(params))
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), f"no io_uring: {os.strerror(ctypes.get_errno())}")
        found = _PARAMS.unpack(params.raw)
        self._entries, self._answers = found[0], found[1]
        sent, answered = found[10:19], found[19:28]
        size = max(sent[6] + 4 * self._entries, answered[5] + 16 * self._answers)
        flags = mmap.MAP_SHARED | POPULATE
        self._rings = mmap.mmap(self._descriptor, size, flags=flags)
        self._requests = mmap.mmap(self._descriptor, SEND_BYTES * self._entries, flags=flags, offset=SQES_AT)
        self._words = memoryview(self._rings).cast("I")
        self._results = memoryview(self._rings).cast("i")
        self._head, self._tail = sent[0] // 4, sent[1] // 4
        self._answers_head, self._answers_tail = answered[0] // 4, answered[1] // 4
        self._first_answer = answered[5] // 4
        for place in range(self._entries):  # request n is always in place n
            self._words[sent[6] // 4 + place] = place
        # All requests send the same message: its header and its one piece are here, and say where the bytes are.
        self._piece = ctypes.create_string_buffer(_VECTOR.size)
        self._header = ctypes.create_string_buffer(_MESSAGE_HEADER.size)
        _MESSAGE_HEADER.pack_into(self._header, 0, 0, 0, ctypes.addressof(self._piece), 1, 0, 0, 0)
        self.is_open = True

    def request(self, descriptor: int, number: int) -> bytes:
        """A send to a socket, for `send`; `number` is what its answer bears."""
        header = ctypes.addressof(self._header)
        return _SEND.pack(SENDMSG, 0, 0, descriptor, 0, header, 1, DONTWAIT | NOSIGNAL, number, 0, 0, 0)

    def send(self, requests: bytes, data: bytes) -> Unsent:
        """Sends `data` by each of the joined requests; nearly always nothing is left. Where the kernel takes no more
        requests at all, the ring is closed, and what it did not do is unsent."""
        _VECTOR.pack_into(self._piece, 0, id(data) + BYTES_AT, len(data))
        most = SEND_BYTES * self._entries
        if len(requests) <= most:
            return self._submit(requests, len(data))
        unsent: list[tuple[int, int]] = []
        for at in range(0, len(requests), most):
            unsent += self._submit(requests[at : at + most], len(data))
        return unsent

    def close(self) -> None:
        """Gives the ring back."""
        self.is_open = False
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _submit(self, requests: bytes, size: int) -> Unsent:
        count, words = len(requests) // SEND_BYTES, self._words
        tail, head = words[self._tail], words[self._answers_head]
        self._put(requests, tail % self._entries)
        words[self._tail] = (tail + count) & _MODULO
        if not self.is_open or self._enter(self._descriptor, count, count) != count:
            self._insist(count, tail)
        answered = (words[self._answers_tail] - head) & _MODULO
        results = self._answered(head % self._answers, answered, 2)
        unsent: Unsent = ()
        if answered < count or results.count(size) < count:
            numbers = self._answered(head % self._answers, answered, 0)
            unsent = _unsent(requests, size, dict(zip(numbers, results, strict=True)))
        words[self._answers_head] = (head + answered) & _MODULO
        return unsent

    def _put(self, requests: bytes, place: int) -> None:
        """Writes requests from that place on; behind the last one comes the first."""
        at, size = SEND_BYTES * place, len(requests)
        fit = SEND_BYTES * self._entries - at
        if size <= fit:
            self._requests[at : at + size] = requests
            return
        self._requests[at:] = requests[:fit]
        self._requests[: size - fit] = requests[fit:]

    def _insist(self, count: int, tail: int) -> None:
        """The kernel has not done all in one call, as when a signal came: has it go on. Where that cannot be, the ring
        is given up with what is in it."""
        words, tries = self._words, 0
        while self.is_open and (left := (tail + count - words[self._head]) & _MODULO):
            tries += 1
            if self._enter(self._descriptor, left, left) < 0 and (
                ctypes.get_errno() not in _AGAIN or tries == TRIES
            ):
                log.warning("io_uring_given_up", reason=os.strerror(ctypes.get_errno()))
                self.close()

    def _enter(self, descriptor: int, requests: int, answers: int) -> int:
        """One call: has requests done, whose answers are there when it returns, since none may wait. Returns how many
        were done; a negative number for an error."""
        return self._system_call(ENTER, descriptor, requests, answers, GETEVENTS, None, 0)

    def _answered(self, place: int, count: int, field: int) -> list[int]:
        """A field of answers from that place on, in words of 32 bits: 0 the number, 2 the result."""
        first, fit = self._first_answer, min(count, self._answers - place)
        at = first + 4 * place + field
        found = self._results[at : at + 4 * fit : 4].tolist() if fit else []
        if count > fit:
            found += self._results[first + field : first + field + 4 * (count - fit) : 4].tolist()
        return found


_AGAIN = (4, 11, 16)  # EINTR, EAGAIN, EBUSY


def _unsent(requests: bytes, size: int, results: dict[int, int]) -> Unsent:
    """A negative result is an error, which the socket's owner will meet: nothing was sent. As without a result."""
    numbers = [each[8] for each in _SEND.iter_unpack(requests)]
    sent = ((number, max(0, results.get(number, 0))) for number in numbers)
    return [(number, done) for number, done in sent if done < size]


def _system_call() -> Callable[..., int]:
    """syscall(2). Its arguments are small numbers and pointers, so nothing is declared of them: that is quicker."""
    if not sys.platform.startswith("linux") or sys.implementation.name != "cpython":  # see `BYTES_AT`
        raise OSError(f"no io_uring on {sys.platform} with {sys.implementation.name}")
    found: Callable[..., int] = ctypes.CDLL(None, use_errno=True).syscall
    return found


class _Own:
    """The ring of this process."""

    ring: SendRing | None = None
    is_allowed = True
    is_asked = False


def allow(is_allowed: bool) -> None:
    """Whether this process may have a ring."""
    _Own.is_allowed = is_allowed


def is_allowed() -> bool:
    """See `allow`."""
    return _Own.is_allowed


def ring() -> SendRing | None:
    """The ring of this process, made when it is first wanted; None where there is none."""
    if not _Own.is_allowed:
        return None
    if not _Own.is_asked:
        _Own.is_asked = True
        try:
            _Own.ring = SendRing()
            log.info("io_uring_ready")
        except OSError as none:
            log.info("io_uring_unavailable", reason=str(none))
    found = _Own.ring
    return found if found is not None and found.is_open else None


def _forget() -> None:
    """A forked process has the memory of its parent's ring, and must not touch it."""
    _Own.ring, _Own.is_asked = None, False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
