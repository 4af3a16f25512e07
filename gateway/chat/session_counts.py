"""What one session has done, for the line of the log at its end. Costs nothing while messages are delivered: rooms know
how much they have written, and members from where on they were live."""

from __future__ import annotations

from gateway.rooms.member import Member
from gateway.rooms.room import Room


class SessionCounts:
    """Counts of one session.

    joined    rooms that it came into
    sent      messages of it that were stored
    received  messages of its rooms that were written to it, history among them
    bytes     those in bytes, before framing and compression
    """

    __slots__ = ("bytes", "joined", "received", "sent")

    def __init__(self) -> None:
        self.joined = self.sent = self.received = self.bytes = 0

    def left(self, member: Member[Room]) -> None:
        """It has left a room: the member is not live any more."""
        self.received += member.received
        self.bytes += member.received_bytes

    def fields(self) -> dict[str, int]:
        """For the log."""
        return {"joined": self.joined, "sent": self.sent, "received": self.received, "bytes": self.bytes}
