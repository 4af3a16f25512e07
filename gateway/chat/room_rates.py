"""How busy the rooms of one worker are: found by looking at their positions twice. The live path counts nothing for it.

Owns the positions of the last look. A look costs some 1.5 ms for 1,000 rooms, in
pieces with other work in between.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from gateway.rooms.hub import Hub

PIECE = 500
"""Rooms that are looked at in one turn of the event loop."""

MINUTES = 5
LONG_AGO_S = 30.0
"""A look that is older is none: what happened since then is not what happens now."""
EVERY_S = 5.0
"""So often a worker notes what the dashboard draws, and for so many minutes it keeps that."""


class RoomRate(NamedTuple):
    """One room on this worker: messages a second since the last look, and its members."""

    messages_s: float
    room: str
    members: int


class Look(NamedTuple):
    """What a look found: messages a second of all rooms, messages times members a second, members of all rooms, rooms
    with members, and the busiest and the largest of them. Rates are 0 unless `has_rates`."""

    messages_s: float
    deliveries_s: float
    members: int
    rooms: int
    busiest: list[RoomRate]
    largest: list[RoomRate]
    has_rates: bool


class RoomRates:
    """Looks at the rooms of one worker."""

    def __init__(self, hub: Hub, clock: Callable[[], float]) -> None:
        self._hub = hub
        self._clock = clock
        self._before: dict[str, tuple[str, int]] = {}
        self._before_s = float("-inf")

    async def look(self, most: int) -> Look:
        """What happened since the last look, with up to `most` rooms each. The first look finds no rates, nor does one
        after a long time."""
        now_s = self._clock()
        past_s = max(now_s - self._before_s, 0.001)
        if not (has_rates := past_s <= LONG_AGO_S):
            self._before = {}
        seen: dict[str, tuple[str, int]] = {}
        found: list[RoomRate] = []
        names = list(self._hub.rooms)
        for at in range(0, len(names), PIECE):
            self._look_at(names[at : at + PIECE], past_s, seen, found)
            await asyncio.sleep(0)
        self._before, self._before_s = seen, now_s
        return Look(
            sum(each.messages_s for each in found),
            sum(each.messages_s * each.members for each in found),
            sum(each.members for each in found),
            sum(1 for each in found if each.members),
            heapq.nlargest(most, (each for each in found if each.messages_s)),
            heapq.nlargest(most, found, key=lambda each: (each.members, each.room)),
            has_rates,
        )

    def _look_at(
        self, names: list[str], past_s: float, seen: dict[str, tuple[str, int]], found: list[RoomRate]
    ) -> None:
        for name in names:
            room = self._hub.rooms.get(name)
            if room is None:
                continue
            seen[name] = at = (room.epoch, room.seq)
            epoch, seq = self._before.get(name, at)
            new = room.seq - seq if epoch == room.epoch else 0
            found.append(RoomRate(max(new, 0) / past_s, name, len(room.members)))


class Recent:
    """What one worker did in the last minutes, for small plots."""

    def __init__(self, rates: RoomRates, connections: Callable[[], int], every_s: float = EVERY_S) -> None:
        self._rates = rates
        self._connections = connections
        self._every_s = every_s
        self._notes: deque[tuple[int, float, float]] = deque(maxlen=int(MINUTES * 60 / every_s))

    async def run(self) -> None:
        """Woken every `every_s`; ended by cancellation."""
        while True:
            found = await self._rates.look(0)
            self._notes.append(
                (self._connections(), round(found.messages_s, 1), round(found.deliveries_s, 1))
            )
            await asyncio.sleep(self._every_s)

    def report(self) -> dict[str, Any]:
        """Connections, messages a second and deliveries a second, oldest first."""
        return {
            "every_s": self._every_s,
            "connections": [note[0] for note in self._notes],
            "messages_s": [note[1] for note in self._notes],
            "deliveries_s": [note[2] for note in self._notes],
        }
