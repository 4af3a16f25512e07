"""How much one user may do on one worker, over all connections: users are those with a token, guests are none.

Owns one small value for each user who is connected, and for a moment after that, so that who reconnects has no new
burst. Bounded by the connections of the worker, and by `GONE_MAX` who are gone.
"""

from __future__ import annotations

GONE_MAX = 100_000
"""Users who are gone and whose bucket is not full yet; beyond, the longest gone are forgotten."""


class UserUsage:
    """What one user has used up."""

    __slots__ = ("connections", "sends", "user")

    def __init__(self, user: str) -> None:
        self.user = user
        self.connections = 0
        self.sends = 0.0  # when the bucket of messages is full again (`rates.py`)


class Users:
    """The users of one worker."""

    def __init__(self, connections_max: int) -> None:
        """`connections_max` are allowed to each user; 0 is no limit."""
        self._connections_max = connections_max
        self._here: dict[str, UserUsage] = {}
        self._gone: dict[str, UserUsage] = {}  # in the order in which they went

    def __len__(self) -> int:
        return len(self._here) + len(self._gone)

    def acquire(self, user: str) -> UserUsage | None:
        """A connection of a user begins; None if that is one too many. Otherwise `release` must follow."""
        usage = self._here.get(user)
        if usage is None:
            usage = self._here[user] = self._gone.pop(user) if user in self._gone else UserUsage(user)
        elif self._connections_max and usage.connections >= self._connections_max:
            return None
        usage.connections += 1
        return usage

    def release(self, usage: UserUsage, now_s: float) -> None:
        """A connection of a user is over."""
        usage.connections -= 1
        if usage.connections:
            return
        del self._here[usage.user]
        if usage.sends > now_s:
            self._gone[usage.user] = usage
        self._forget(now_s)

    def _forget(self, now_s: float) -> None:
        """Forgets the longest gone: up to two whose bucket is full, and who are too many."""
        for user in [each for each, _ in zip(self._gone, range(2), strict=False)]:
            if self._gone[user].sends <= now_s or len(self._gone) > GONE_MAX:
                del self._gone[user]
