"""Which room a new connection gets. Does no I/O.

Rooms are filled one after the other. Where rooms are spread over homes (workers), each home gets as many seats as any
other, and of each room as many as of any other, or one more or less: 50 rooms of 20 over 8 homes have two or three
members on each.
"""

from __future__ import annotations

from math import ceil


class Places:
    """The seats of `rooms` rooms of `members` each; over more than one of `homes` they are spread."""

    def __init__(self, rooms: int, members: int, homes: int = 1) -> None:
        self._rooms, self._members = rooms, members
        self._seats, self._homes = rooms * members, homes
        self._per_home = ceil(self._seats / homes)
        self._had: dict[str, int] = {}  # seats by home, in the order in which homes were first seen
        self.left = self._seats

    def take(self, home: str = "") -> int | None:
        """The room for a seat of that home; None when no room may take it."""
        if home not in self._had and len(self._had) == self._homes:
            return None
        had = self._had.setdefault(home, 0)
        number = list(self._had).index(home) * self._per_home + had
        if had == self._per_home or number >= self._seats:
            return None
        self._had[home] = had + 1
        self.left -= 1
        return number // self._members if self._homes == 1 else number % self._rooms
