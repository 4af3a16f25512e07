"""Pauses: how long they are between attempts, and an end before that by whoever wakes.

Owns how pauses grow, where they end, and how much chance is in them. Who tries counts the attempts.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

ATTEMPTS_MAX = 64
"""After so many attempts no pause grows any more, whatever its limit: the power stays a number."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """`first_s`, then `growth` times as long after each attempt, up to `most_s`; each times a random number between the
    two of `jitter`, so that many who wait do not try in one moment.

    Example: `Backoff(1, 10, jitter=(0.8, 1.2))` pauses for about 1, 2, 4, 8, 10, 10 … seconds.
    """

    first_s: float
    most_s: float
    growth: float = 2.0
    jitter: tuple[float, float] = (1.0, 1.0)

    def pause_s(self, attempt: int) -> float:
        """The pause after an attempt; 0 is the first one."""
        whole_s = min(self.most_s, self.first_s * self.growth ** min(attempt, ATTEMPTS_MAX))
        least, most = self.jitter
        return random.uniform(least * whole_s, most * whole_s)


async def woken_within(event: asyncio.Event, limit_s: float) -> bool:
    """Waits until `event` is set, at most for `limit_s`; returns whether it was."""
    try:
        async with asyncio.timeout(limit_s):
            return await event.wait()
    except TimeoutError:
        return False
