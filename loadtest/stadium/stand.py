"""One process with a share of the members, who only listen.

Owns their sockets. A read is neither parsed nor kept: for each member its bytes are counted and go into a checksum,
pings left out. The same messages are the same bytes for everybody, so who has the count and the checksum of a member
that was read frame by frame has got all of it, once and in order.

Some members are sampled: they read as soon as something comes, and the times are looked up at which its messages left.
The others read about once a second: on a machine of their own they would cost the gateway's machine nothing, either.

An order comes over a pipe, and each is answered: `JOIN`, `BEGIN`, `END`.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, NamedTuple
from zlib import crc32

from loadtest.bench.seat import PING, text_frame
from loadtest.stadium.seats import RECEIVE_BYTES, SeatError, seated

BATCH = 25
"""Members who join at one time: each process waits for them, and reads nothing meanwhile."""
SAMPLED = 20
"""One of so many members is sampled."""
MARK = b'"~~'
"""In front of the time (monotonic, s) at which a message left; nothing else in a packet is like it."""
PONG = text_frame(b"3")
TURN_S = 0.02
SWEEP_S = 1.0
"""So often those read who are not sampled."""
QUIET_S = 1.0
"""Members of whom nothing came for so long, after the end was told, get nothing more."""


class Share(NamedTuple):
    """What one process is to do: its members join this room at this address."""

    address: tuple[str, int]
    room: str
    first: int
    members: int


@dataclass(slots=True)
class Heard:
    """What a process's members got between BEGIN and END: how many of them got each stream (count of bytes and
    checksum), how many connections ended, latencies of those that are sampled (s), and the process's CPU."""

    streams: dict[tuple[int, int], int] = field(default_factory=dict)
    closed: int = 0
    latencies_s: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    error: str = ""


class Stand:
    """The members of one process."""

    def __init__(self, share: Share) -> None:
        self._share = share
        self._epoll = select.epoll()
        self._receive: dict[int, Callable[[int], bytes]] = {}
        self._send: dict[int, Callable[[bytes], int]] = {}
        self._seats: list[Any] = []
        self._others: list[int] = []  # who is not sampled
        self._next, self._swept_s = 0, 0.0  # whose turn it is of them, and when the last ones had theirs
        self._bytes: dict[int, int] = {}
        self._sums: dict[int, int] = {}
        self._sampled: set[int] = set()
        self._heard = Heard()

    def fill(self) -> None:
        """All members join, as fast as the gateway lets them in."""
        share = self._share
        for at in range(0, share.members, BATCH):
            some = range(share.first + at, share.first + min(share.members, at + BATCH))
            for seat in seated(share.address, share.room, [f"member-{number}" for number in some]):
                self._take(seat)
            self.turn()

    def _take(self, seat: Any) -> None:
        seat.setblocking(False)
        number = seat.fileno()
        if len(self._seats) % SAMPLED == 0:
            self._sampled.add(number)
            self._epoll.register(number, select.EPOLLIN)
        else:
            self._others.append(number)
        self._seats.append(seat)
        self._receive[number], self._send[number] = seat.recv, seat.send

    def begin(self) -> None:
        """From now on counts."""
        self._read(list(self._receive))
        self._bytes = dict.fromkeys(self._receive, 0)
        self._sums = dict.fromkeys(self._receive, 0)
        self._heard = Heard(cpu_s=-time.process_time())

    def turn(self) -> None:
        """Reads what has come to those who are sampled, and what some of the others have to read."""
        self._read([number for number, _ in self._epoll.poll(TURN_S)])
        now_s, many = time.monotonic(), len(self._others)
        some = min(many, int(many * (now_s - self._swept_s) / SWEEP_S) + 1)
        self._swept_s = now_s
        self._read(self._others[self._next : self._next + some])
        self._next = self._next + some if self._next + some < many else 0

    def _read(self, members: Sequence[int]) -> int:
        """Reads once for each of them; returns for how many something had come."""
        sums, counts, receive, reads = self._sums, self._bytes, self._receive, 0
        for number in members:
            try:
                data = receive[number](RECEIVE_BYTES)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            reads += 1
            if PING in data:
                self._send[number](PONG)
                data = data.replace(PING, b"")
            elif not data:
                self._ended(number)
                continue
            if number in sums:
                sums[number] = crc32(data, sums[number])
                counts[number] += len(data)
                if number in self._sampled:
                    self._note_latencies(data)
        return reads

    def _ended(self, number: int) -> None:
        self._heard.closed += 1
        self._receive[number] = _nothing
        if number in self._sampled:
            self._epoll.unregister(number)

    def _note_latencies(self, data: bytes) -> None:
        now_s = time.monotonic()
        for piece in data.split(MARK)[1:]:
            stamp, ended, _ = piece[:24].partition(b" ")
            if ended:
                self._heard.latencies_s.append(now_s - float(stamp))

    def end(self, wanted_bytes: int) -> Heard:
        """Reads on until everybody has so many bytes, or nothing comes any more."""
        quiet_from_s = time.monotonic()
        while time.monotonic() < quiet_from_s + QUIET_S and min(self._bytes.values()) < wanted_bytes:
            if self._read(list(self._receive)):
                quiet_from_s = time.monotonic()
            time.sleep(TURN_S)
        heard = self._heard
        heard.cpu_s += time.process_time()
        for number, count in self._bytes.items():
            stream = count, self._sums[number]
            heard.streams[stream] = heard.streams.get(stream, 0) + 1
        return heard


def _nothing(size: int) -> bytes:
    """What a connection brings that has ended."""
    raise BlockingIOError


def sit(orders: Connection, share: Share) -> None:
    """The whole life of the process. Ended by END, or when the pipe is closed."""
    stand = Stand(share)
    try:
        _obey(orders, stand)
    except (SeatError, OSError) as error:
        orders.send(Heard(error=f"{type(error).__name__}: {error}"))
    except EOFError:
        pass  # who gave the orders is gone


def _obey(orders: Connection, stand: Stand) -> None:
    while True:
        stand.turn()
        if not orders.poll():
            continue
        order, wanted_bytes = orders.recv()
        match order:
            case "JOIN":
                stand.fill()
                orders.send(Heard())
            case "BEGIN":
                stand.begin()
                orders.send(Heard())
            case _:
                orders.send(stand.end(wanted_bytes))
                return
