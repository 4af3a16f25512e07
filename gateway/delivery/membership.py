"""A member of a room on this worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.delivery.sockets import EngineSocket
from gateway.protocol import Position

if TYPE_CHECKING:
    from gateway.delivery.feed import Feed


class Membership:
    """A session's place in a room. `position` is only kept while it is behind."""

    __slots__ = ("feed", "is_live", "position", "session", "socket", "username")

    def __init__(self, feed: Feed, session: str, socket: EngineSocket, username: str) -> None:
        self.feed = feed
        self.session = session
        self.socket = socket
        self.username = username
        self.is_live = False
        self.position: Position | None = None
