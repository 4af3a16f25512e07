"""A member of a room on this worker."""

from __future__ import annotations

from typing import Generic, TypeVar

from gateway.interfaces import Recipient
from gateway.protocol import Position

RoomT = TypeVar("RoomT")


class Member(Generic[RoomT]):
    """A session's place in a room. `position` is only kept while it is behind."""

    __slots__ = ("is_live", "position", "room", "session", "socket", "username")

    def __init__(self, room: RoomT, session: str, socket: Recipient, username: str) -> None:
        self.room = room
        self.session = session
        self.socket = socket
        self.username = username
        self.is_live = False
        self.position: Position | None = None
