"""How many users rooms have, as it was a moment ago.

For what is told to small rooms only. A number is remembered for `HOLDS_S`, so that 1,000 signals a second ask Redis for
it once in that time and room.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from gateway.chat.presence_tracker import PresenceTracker

HOLDS_S = 5.0
"""A room that grows over a limit is told for so much longer."""

ROOMS_MAX = 4096
"""Rooms whose number is remembered; of more, those that were asked about least recently are forgotten."""


class RoomSizes:
    """Counts users."""

    def __init__(self, tracker: PresenceTracker, clock: Callable[[], float] = time.monotonic) -> None:
        self._tracker = tracker
        self._clock = clock
        self._counted: OrderedDict[str, tuple[int, float]] = OrderedDict()  # number, and until when it holds

    def known(self, room: str) -> int | None:
        """The number of a room's users, if it was counted a moment ago."""
        counted = self._counted.get(room)
        if counted is None or counted[1] <= self._clock():
            return None
        self._counted.move_to_end(room)
        return counted[0]

    async def count(self, room: str) -> int:
        """The number of a room's users. Raises a StoreError."""
        known = self.known(room)
        if known is not None:
            return known
        _, number = await self._tracker.members(room, 0)
        self._counted[room] = (number, self._clock() + HOLDS_S)
        self._counted.move_to_end(room)
        if len(self._counted) > ROOMS_MAX:
            self._counted.popitem(last=False)
        return number
