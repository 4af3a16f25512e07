"""Who is typing in a room: heard for 6 seconds, said at most every 4. Values; the caller passes the time."""

from __future__ import annotations

SAID_EVERY_S = 4.0
HEARD_FOR_S = 6.0
"""Longer than the pause between two signals: it goes on while somebody types, and ends if the last one is lost."""
NAMES_MAX = 200
"""Rooms with more users have no signals."""


class Typists:
    """Who types in one room, and when this client last said that it does."""

    def __init__(self) -> None:
        self._until_s: dict[str, float] = {}
        self._said_s = float("-inf")

    def say(self, at_s: float) -> bool:
        """The user presses a key. Returns whether to tell the others."""
        if at_s - self._said_s < SAID_EVERY_S:
            return False
        self._said_s = at_s
        return True

    def heard(self, username: str, at_s: float) -> None:
        """Somebody types."""
        self._until_s.pop(username, None)
        if len(self._until_s) < NAMES_MAX:
            self._until_s[username] = at_s + HEARD_FOR_S

    def stopped(self, username: str) -> None:
        """Somebody has said what was being typed."""
        self._until_s.pop(username, None)

    def sent(self) -> None:
        """This client has said something: the next key is told at once."""
        self._said_s = float("-inf")

    def names(self, at_s: float) -> list[str]:
        """Who types now."""
        self._until_s = {name: until_s for name, until_s in self._until_s.items() if until_s > at_s}
        return list(self._until_s)
