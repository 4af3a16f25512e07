"""How much the server API holds at one time, in one worker.

Owns three sums over the requests that are under way: how many they are, their bodies, and the rooms that they write to.
What would go beyond is refused before its body is read, so a Redis that stands still, or a backend that floods, costs
bounded memory and bounded commands.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.protocol import Refusal

BODY_BYTES_MAX = 1_048_576
"""Largest body of a request, here only: a broadcast to 1,000 rooms of the longest names takes a seventh of it."""
REQUESTS_MAX = 1_000
"""Requests under way: at 3,000 a second those of a third of a second."""
BYTES_MAX = 32 * BODY_BYTES_MAX
"""Bodies of all of them."""
RETRY_AFTER_MS = 1_000


class Load:
    """What is under way."""

    def __init__(self, requests_max: int = REQUESTS_MAX, bytes_max: int = BYTES_MAX) -> None:
        self._requests_max, self._bytes_max = requests_max, bytes_max
        self.requests = self.bytes = 0

    @contextmanager
    def held(self, body_bytes: int | None) -> Iterator[None]:
        """One more request, with a body of so many bytes; None is a body whose length nobody knows. Raises Refusal."""
        body_bytes = BODY_BYTES_MAX if body_bytes is None else body_bytes
        if self.requests >= self._requests_max or self.bytes + body_bytes > self._bytes_max:
            raise Refusal(
                "rate_limited", "This worker has too many requests under way.", retry_after_ms=RETRY_AFTER_MS
            )
        self.requests += 1
        self.bytes += body_bytes
        try:
            yield
        finally:
            self.requests -= 1
            self.bytes -= body_bytes
