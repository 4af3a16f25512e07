"""How much is too much. Functions of values: the caller passes the time."""

from __future__ import annotations


class Bucket:
    """A token bucket: `rate_per_s` on average, `burst` at once. A rate of 0 means no limit."""

    __slots__ = ("_at_s", "_burst", "_rate_per_s", "_tokens")

    def __init__(self, rate_per_s: float, burst: float, now_s: float) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._tokens = burst
        self._at_s = now_s

    def take(self, now_s: float) -> float:
        """Takes a token and returns 0, or returns the seconds until there is one."""
        if self._rate_per_s <= 0:
            return 0.0
        self._tokens = min(self._burst, self._tokens + (now_s - self._at_s) * self._rate_per_s)
        self._at_s = now_s
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self._rate_per_s
