"""How many rooms one user may make: a room that is joined for the first time takes memory; what is said there, more.

Owns who has made how many lately; bounded, and forgotten with time. A room costs only who finds that it was not there.
Whether one is there is asked only for who has made too many: everybody else's joins cost nothing.
"""

from __future__ import annotations

OWNERS_MAX = 10_000
"""So many makers of rooms are remembered; beyond, the one is forgotten that has been known for the longest time."""

HOUR_S = 3600.0


class NewRooms:
    """A token bucket for each maker of rooms, kept as the time at which it is full again."""

    def __init__(self, per_hour: int) -> None:
        """0 is no limit."""
        self._every_s = HOUR_S / per_hour if per_hour else 0.0
        self._slack_s = HOUR_S - self._every_s  # a full bucket holds an hour's rooms
        self._full_s: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._full_s)

    def wait_s(self, owner: str, now_s: float) -> float:
        """How long until this one may make a room; 0 if it may now."""
        return max(0.0, self._full_s.get(owner, now_s) - now_s - self._slack_s)

    def note(self, owner: str, now_s: float) -> None:
        """This one has made a room."""
        if not self._every_s:
            return
        full_s = max(self._full_s.pop(owner, now_s), now_s) + self._every_s
        self._full_s[owner] = full_s  # at the end: the others have been known for longer
        oldest = next(iter(self._full_s))
        if len(self._full_s) > OWNERS_MAX or self._full_s[oldest] <= now_s:
            del self._full_s[oldest]
