"""The load: members that connect, join, send on a schedule and count what arrives.

Open loop: a message is sent when it is due, whatever became of those before it.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass

from loadtest.bench.contests import Load
from loadtest.bench.places import Places
from loadtest.bench.poll_seat import PollSeat
from loadtest.bench.seat import Seat, Tally

BATCH = 50
SAMPLED = 50
HANDSHAKE_TRIES = 50
TURNED_AWAY_WAIT_S = 0.2
OPENED_MOST = 40
"""Connections opened per seat at most, where each worker must have as many and the kernel picks the worker."""
CONNECTED_WITHIN_S = 120.0


AnySeat = Seat | PollSeat


class GeneratorError(RuntimeError):
    """The server did not let all members in."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the members saw. Latencies are from send to receive, of a sample of members."""

    deliveries: int
    acknowledged: int
    closed: int
    seconds: float
    latencies_s: tuple[float, ...]


class Generator:
    """One load against servers on these ports of 127.0.0.1: `connect`, `send`, `close`, in this order.

    `homes` is how many workers there are, for loads whose rooms are spread over them. Rooms are named by `tag`;
    who gives the same tag meets in the same rooms. `batch` connections are opened at once.
    """

    def __init__(
        self,
        load: Load,
        ports: tuple[int, ...],
        homes: int,
        patience_s: float = 40.0,
        tag: str = "",
        batch: int = BATCH,
    ) -> None:
        self._load, self._ports, self._patience_s = load, ports, patience_s
        self._places = Places(load.rooms, load.members, homes if load.is_spread else 1)
        self._rooms: list[list[AnySeat]] = [[] for _ in range(load.rooms)]
        self._tag, self._batch = tag or uuid.uuid4().hex[:8], batch
        self._tally = Tally()
        self.opened = self.turned_away = 0

    @property
    def closed(self) -> int:
        """How many connections have ended since the last `send` began."""
        return self._tally.closed

    async def connect(self) -> None:
        """Opens all connections and joins all members to their rooms; returns when every join is acknowledged."""
        try:
            async with asyncio.timeout(CONNECTED_WITHIN_S):
                await self._fill_rooms()
        except TimeoutError as late:
            raise GeneratorError(f"members still missing after {CONNECTED_WITHIN_S:.0f} s") from late
        members = [seat for room in self._rooms for seat in room]
        for seat in members[:: max(1, len(members) // SAMPLED)]:
            seat.is_sampled = True

    async def _fill_rooms(self) -> None:
        while self._places.left:
            if self.opened > OPENED_MOST * self._load.connections:
                raise GeneratorError("some worker hardly ever gets a connection")
            many = min(self._batch, self._places.left)
            seats = await asyncio.gather(*(self._open(self._next_port()) for _ in range(many)))
            await asyncio.gather(*(self._seat(seat) for seat in seats))

    async def send(self) -> Seen:
        """Sends all messages and waits until all deliveries (and acknowledgements) have arrived, or patience ends."""
        self._tally.reset()
        begun = time.perf_counter()
        await self._send_all(begun)
        deadline = time.perf_counter() + self._patience_s
        while not self._is_complete() and time.perf_counter() < deadline:
            await asyncio.sleep(0.005)
        tally = self._tally
        seconds = time.perf_counter() - begun
        return Seen(tally.deliveries, tally.acknowledged, tally.closed, seconds, tuple(tally.latencies_s))

    def close(self) -> None:
        """Cuts all connections."""
        for room in self._rooms:
            for seat in room:
                seat.abort()

    async def _send_all(self, begun: float) -> None:
        load, sent, padding = self._load, 0, "x" * self._load.size
        while sent < load.messages:
            due = min(load.messages, int((time.perf_counter() - begun) * load.rate) + 1)
            for number in range(sent, due):
                room = self._rooms[number % load.rooms]
                seat = room[(number // load.rooms) % load.members]
                seat.say(padding, number if load.has_acks else None)
            sent = due
            await asyncio.sleep(0.001)

    def _is_complete(self) -> bool:
        wanted = self._load.messages if self._load.has_acks else 0
        return self._tally.deliveries >= self._load.deliveries and self._tally.acknowledged >= wanted

    def _next_port(self) -> int:
        self.opened += 1
        return self._ports[self.opened % len(self._ports)]

    async def _open(self, port: int) -> AnySeat:
        """A connected seat. A server that turns handshakes away for now (503) is asked again."""
        loop = asyncio.get_running_loop()
        for _ in range(HANDSHAKE_TRIES):
            seat: AnySeat
            if self._load.by_polling:
                seat = PollSeat(self._tally, port)
                await seat.open()
            else:
                _, seat = await loop.create_connection(lambda: Seat(self._tally, port), "127.0.0.1", port)
            if await seat.connected:
                return seat
            self.turned_away += 1
            await asyncio.sleep(TURNED_AWAY_WAIT_S)
        raise GeneratorError(f"turned away {HANDSHAKE_TRIES} times")

    async def _seat(self, seat: AnySeat) -> None:
        room = self._places.take(seat.home if self._load.is_spread else "")
        if room is None:
            seat.abort()
            return
        self._rooms[room].append(seat)
        await seat.join(f"{self._tag}-{room}", f"user{len(self._rooms[room])}")
