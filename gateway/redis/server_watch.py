"""Failovers: the one place where it is found that commands or channels lead to another server than before.

Owns which server each connection reached last. A failover has a beginning and an end:

- It begins when the first connection reaches another server. That is reported at once, because from then on a
  message's number may be another message's.
- It ends when commands and channels lead to the same server. Only then a snapshot shows what the channel goes on from.

Each connection that changes its server is reported: what was seen at the server that it left must be known when it
leaves, and commands may leave seconds after the channels did.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from gateway.interfaces import RedisEvents

SETTLED_AFTER_S = 6.0
"""Time after a failover from which commands and channels count as leading to one server, whatever it calls itself: a
proxy may give each connection another name. Were they not led to one, the channel would have been found unresponsive
by then (5 s by default, GATEWAY_DEAF_S) and replaced."""


class ServerWatch:
    """The servers that one worker's connections lead to."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._servers: dict[str, str] = {}
        self._events: RedisEvents | None = None
        self._changed_at_s = clock()

    def start(self, events: RedisEvents) -> None:
        """Reports to this listener from now on."""
        self._events = events

    def connected(self, place: str, server: str, last_heard_s: float) -> None:
        """The connection of that name reached a server; the one before it was last heard at `last_heard_s`."""
        before = self._servers.get(place)
        self._servers[place] = server
        if before is not None and before != server:
            self.server_left(last_heard_s)

    def server_left(self, last_heard_s: float) -> None:
        """A server was left for another one."""
        self._changed_at_s = self._clock()
        if self._events is not None:
            self._events.on_failover(last_heard_s)

    def is_settled(self, command_server: str, channel_server: str) -> bool:
        """Whether a snapshot by these commands shows what that channel goes on from."""
        return command_server == channel_server or self._clock() - self._changed_at_s > SETTLED_AFTER_S
