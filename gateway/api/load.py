"""How much the server API holds at one time, in one worker.

Owns three sums over the requests that are under way (how many they are, their bodies, and the rooms of broadcasts), and
how many rooms they make. What would go beyond is refused, where it can be before its body is read: so a Redis that
stands still, or a backend that floods, costs bounded memory and bounded commands.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil

from gateway.access.rates import Rate
from gateway.protocol import Refusal

BODY_BYTES_MAX = 1_048_576
"""Largest body of a request, here only: a broadcast to 1,000 rooms of the longest names takes a seventh of it."""
REQUESTS_MAX = 1_000
"""Requests under way: at 3,000 a second those of a third of a second."""
BYTES_MAX = 32 * BODY_BYTES_MAX
"""Bodies of all of them."""
ROOMS_MAX = 20_000
"""Rooms of broadcasts: a fifth of the commands that a connection to Redis holds."""
ROOMS_MADE = Rate.of(3_000, 20_000)
"""Rooms in which nobody of this worker is and that a publish makes here, a second and at once. Each takes 1.5 KB until
it has been quiet for 15 s: 100 MB at most."""
RETRY_AFTER_MS = 1_000


class Load:
    """What is under way."""

    def __init__(self, requests_max: int = REQUESTS_MAX, bytes_max: int = BYTES_MAX) -> None:
        self._requests_max, self._bytes_max = requests_max, bytes_max
        self.requests = self.bytes = self.rooms = 0
        self._made_full_s = 0.0  # when the bucket of made rooms is full again (monotonic)

    @contextmanager
    def held(self, body_bytes: int | None) -> Iterator[None]:
        """One more request, with a body of so many bytes; None is a body whose length nobody knows. Raises Refusal."""
        body_bytes = BODY_BYTES_MAX if body_bytes is None else body_bytes
        if self.requests >= self._requests_max or self.bytes + body_bytes > self._bytes_max:
            raise _too_much()
        self.requests += 1
        self.bytes += body_bytes
        try:
            yield
        finally:
            self.requests -= 1
            self.bytes -= body_bytes

    @contextmanager
    def held_rooms(self, rooms: int) -> Iterator[None]:
        """A broadcast to so many rooms. Raises Refusal."""
        if self.rooms + rooms > ROOMS_MAX:
            raise _too_much()
        self.rooms += rooms
        try:
            yield
        finally:
            self.rooms -= rooms

    def make_room(self, now_s: float) -> None:
        """A room is made here for a publish. Raises Refusal."""
        if wait_s := ROOMS_MADE.wait_s(self._made_full_s, now_s):
            sentence = "Too many rooms at once in which nobody of this worker is."
            raise Refusal("rate_limited", sentence, retry_after_ms=ceil(wait_s * 1000))
        self._made_full_s = ROOMS_MADE.taken(self._made_full_s, now_s)


def _too_much() -> Refusal:
    return Refusal("rate_limited", "This worker has too much under way.", retry_after_ms=RETRY_AFTER_MS)
