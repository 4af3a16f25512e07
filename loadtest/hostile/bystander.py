"""Who suffers: honest members who talk in rooms of two, and one who asks /healthz all the time."""

from __future__ import annotations

import asyncio
import time

from loadtest.bench.seat import Seat, Tally

SENDS_PER_S = 200
PATIENCE_S = 1.0


class Members:
    """Honest members, two in a room. `talk` says how long their messages took."""

    def __init__(self, port: int, number: int) -> None:
        self._port, self._number = port, number
        self._tally = Tally()
        self._seats: list[Seat] = []

    async def join(self) -> None:
        """Connects and joins all of them."""
        loop = asyncio.get_running_loop()
        for number in range(self._number):
            _, seat = await loop.create_connection(
                lambda: Seat(self._tally, self._port), "127.0.0.1", self._port
            )
            await seat.connected
            await seat.join(f"room-{number // 2}", f"user{number}")
            seat.is_sampled = True
            self._seats.append(seat)

    async def talk(self, for_s: float) -> tuple[float, float]:
        """Sends on a schedule, whatever became of what was sent before; 99th percentile and worst, ms. What never
        arrived counts as `PATIENCE_S`."""
        self._tally.reset()
        begun, sent = time.perf_counter(), 0
        while (passed_s := time.perf_counter() - begun) < for_s:
            while sent < passed_s * SENDS_PER_S:
                self._seats[sent % len(self._seats)].say("x" * 40, None)
                sent += 1
            await asyncio.sleep(0.001)
        deadline = time.perf_counter() + PATIENCE_S
        while len(self._tally.latencies_s) < 2 * sent and time.perf_counter() < deadline:
            await asyncio.sleep(0.01)
        seen = sorted(self._tally.latencies_s)
        seen += [PATIENCE_S] * (2 * sent - len(seen))
        return seen[int(len(seen) * 0.99)] * 1000, seen[-1] * 1000

    def close(self) -> None:
        """Cuts all connections."""
        for seat in self._seats:
            seat.abort()


async def worst_wait_for_health(port: int, for_s: float) -> float:
    """Asks /healthz on one connection, again as soon as it is answered; the longest wait, ms."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    worst, begun = 0.0, time.perf_counter()
    try:
        while (asked := time.perf_counter()) - begun < for_s:
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            worst = max(worst, time.perf_counter() - asked)
            await asyncio.sleep(0.001)
    finally:
        writer.close()
    return worst * 1000
