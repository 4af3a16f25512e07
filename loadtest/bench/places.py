"""Which room a new connection gets. Does no I/O.

Rooms are filled one after the other. Where rooms have homes, a room takes only seats of one home (one worker, or
one process), and every home gets the same number of rooms.
"""

from __future__ import annotations

from math import ceil


class Places:
    """The seats of `rooms` rooms of `members` each; `homes` is how many homes share the rooms."""

    def __init__(self, rooms: int, members: int, homes: int = 1) -> None:
        self._rooms, self._members = rooms, members
        self._rooms_per_home = ceil(rooms / homes)
        self._begun = 0
        self._open: dict[str, tuple[int, int]] = {}
        self._had: dict[str, int] = {}
        self.left = rooms * members

    def take(self, home: str = "") -> int | None:
        """The room for a seat of that home; None when no room may take it."""
        room, seated = self._open.get(home) or (self._begin(home), 0)
        if room is None:
            return None
        self.left -= 1
        if seated + 1 < self._members:
            self._open[home] = (room, seated + 1)
        else:
            self._open.pop(home, None)
        return room

    def _begin(self, home: str) -> int | None:
        had = self._had.get(home, 0)
        if had == self._rooms_per_home or self._begun == self._rooms:
            return None
        self._had[home] = had + 1
        self._begun += 1
        return self._begun - 1
