"""Rooms in which nothing was ever said.

Redis keeps their positions for minutes, so that who joins rooms at random leaves nothing behind. As long as somebody is
in, the position must stay: another one would look like a loss. Example: Ada waits at `e1:0`, and the position expires.
Ben joins on another worker, and the room begins `e2`. The first message is `e2:1`, and Ada is told `gap` for nothing.
"""

from __future__ import annotations

import asyncio
import random

from gateway.rooms.hub import Hub
from gateway.state.batches import batched
from gateway.state.history import Histories

TURNS = 4
"""In the time for which such a position is kept it is renewed so often: a worker may stand still for most of it."""

JITTER = 0.1
"""Each pause is up to a tenth shorter or longer, so that workers do not all ask in one moment."""


class EmptyRooms:
    """Renews the positions of this worker's rooms in which nothing was ever said."""

    def __init__(self, hub: Hub, histories: Histories) -> None:
        self._hub = hub
        self._histories = histories

    async def run(self) -> None:
        """Woken some times in `empty_ttl_s`; ended by cancellation. What the store did not do is done at the next turn;
        a position that has expired all the same is given back by who has seen it (scripts/epoch.lua)."""
        pause_s = self._histories.empty_ttl_s / TURNS
        while True:
            await asyncio.sleep(pause_s * random.uniform(1 - JITTER, 1 + JITTER))
            await self.renew()

    async def renew(self) -> None:
        """One turn."""
        empty = [
            room.name for room in self._hub.rooms.values() if room.seq == 0 and room.epoch and room.members
        ]
        for some in batched(empty):
            await self._histories.keep_empty(some)
