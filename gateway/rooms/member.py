"""A member of a room on this worker."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, Generic, Protocol, TypeVar

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


class HearsRoom(Protocol):
    """Who waits for the channel to bring a message of this worker's to a room."""

    def heard(self, room: Any) -> None:
        """The channel has brought messages."""


class Traffic:
    """What a room has written to each of its live members: messages, and their bytes."""

    __slots__ = ("bytes", "messages")

    def __init__(self) -> None:
        self.messages = self.bytes = 0

    def add(self, packets: Sequence[bytes]) -> None:
        """These more."""
        self.messages += len(packets)
        self.bytes += len(packets[0]) if len(packets) == 1 else sum(map(len, packets))


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
    received, received_bytes   what it has got of the room until it was last live, and what it was brought up by
    _live_from  what the room had written when it was made live last
    """

    __slots__ = (
        "_live_from", "answers", "changes", "entered_ms", "position", "received", "received_bytes", "rights", "room",
        "session", "socket", "state", "username",
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
        self.received = self.received_bytes = 0
        self._live_from = (0, 0)

    def go_live(self, traffic: Traffic) -> None:
        """It gets what comes."""
        if self.state is not MemberState.LIVE:
            self._live_from = (traffic.messages, traffic.bytes)
        self.state, self.position = MemberState.LIVE, None

    def count(self, messages: int, size: int) -> None:
        """It is written these, by which it is brought up."""
        self.received += messages
        self.received_bytes += size

    def stop(self, state: MemberState, traffic: Traffic, position: Position | None) -> None:
        """It gets nothing live any more. A member that was live has got all that the room wrote meanwhile."""
        if self.state is MemberState.LIVE:
            messages, size = self._live_from
            self.received += traffic.messages - messages
            self.received_bytes += traffic.bytes - size
        self.state, self.position = state, position
