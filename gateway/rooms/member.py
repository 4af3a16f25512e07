"""A member of a room on this worker."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Generic, TypeVar

from gateway.interfaces import Recipient
from gateway.protocol import Position
from gateway.rooms.replays import JoinAnswer

RoomT = TypeVar("RoomT")


class MemberState(Enum):
    """How a member gets what happens in its room."""

    OUTSIDE = "on its way in, or gone: it gets nothing"
    LIVE = "it gets what comes"
    LAGGING = "it reads slowly: it gets nothing until it has read, then all it missed by its own position"
    REJOINING = "it joins again: it gets nothing until that is done, or failed"


class Member(Generic[RoomT]):
    """A session's place in a room.

    room      where it is
    session   the session's id
    socket    what is written to
    username  as it joined
    state     how it gets what happens
    position  the last one that it has got; kept only while it is lagging or rejoining, and None if it has got nothing
    changes   the number of the last change of a message that it has been told; kept as `position` is
    answers   to its joins, which follow the history
    rights    what it may do here, as the bits of `access/rights.py`; rooms do not look at them
    entered_ms  when it came in, by the store's clock; 0 before
    """

    __slots__ = (
        "answers", "changes", "entered_ms", "position", "rights", "room", "session", "socket", "state", "username",
    )  # fmt: skip

    def __init__(self, room: RoomT, session: str, socket: Recipient, username: str, rights: int = 0) -> None:
        self.room = room
        self.session = session
        self.socket = socket
        self.username = username
        self.state = MemberState.OUTSIDE
        self.position: Position | None = None
        self.changes = 0
        self.answers: Sequence[JoinAnswer] = ()
        self.rights = rights
        self.entered_ms = 0
