"""How much is too much, as one number for each limit: a token bucket that is kept as the time at which it is full.

Functions of values: the caller passes the time, and keeps the number, or a `Bucket` does. Example, for 10 a second and
20 at once, at 100.0 s. A bucket that was full at 99 s is full. One that is full at 102.0 s is empty, and has a token at
100.1 s.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

ROUNDING = 0.001
"""Share of a token: sums of fractions must not refuse the last one of a burst."""


class Rate(NamedTuple):
    """So many a second on average, and a burst at once."""

    every_s: float
    """Time between two tokens; 0 where there is no limit."""
    slack_s: float
    """How far away a full bucket may be so that there is a token."""

    @classmethod
    def of(cls, per_s: float, burst: float) -> Rate:
        """A rate; 0 a second is no limit."""
        return cls(0.0, inf) if per_s <= 0 else cls(1 / per_s, (burst - 1 + ROUNDING) / per_s)

    def wait_s(self, full_s: float, now_s: float) -> float:
        """How long until there is a token; 0 if there is one."""
        return max(0.0, full_s - now_s - self.slack_s)

    def taken(self, full_s: float, now_s: float) -> float:
        """When the bucket is full after a token was taken, or was promised."""
        return max(full_s, now_s) + self.every_s


class Bucket:
    """One bucket that keeps its own number."""

    __slots__ = ("_full_s", "_rate")

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._full_s = -inf

    def take(self, now_s: float) -> float:
        """Takes a token and returns 0, or returns the seconds until there is one."""
        wait_s = self._rate.wait_s(self._full_s, now_s)
        if not wait_s:
            self._full_s = self._rate.taken(self._full_s, now_s)
        return wait_s


NO_LIMIT = Rate.of(0, 1)
