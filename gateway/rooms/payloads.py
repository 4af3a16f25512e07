"""What a room's channel brings, as it is written there. Functions of values: what is malformed is told apart, never
raised, because anybody who reaches Redis can publish on the channel.

    <epoch>:<seq> {…}              a stored message, the data of `receive`
    <epoch>@<origin>:<seq> {…}     the same where nodes of a Cluster bring each other's
    <epoch>:<seq>                  where the room is
    -<session> {…}                 a notice: `receive` for all but that session
    !<event>:<session> {…}         another event, at most once, for all but that session (empty: for all)
    !traced:<traceparent>:<epoch>:<seq>
                                   the message that comes next is traced; for workers, no event for members

Workers of before know the first four; what begins with `!` they count as malformed.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from gateway.protocol import is_json
from gateway.rooms.changes import ChangeTold, change_told

DIGITS_MAX = 18
"""Of a seq: more than a room of a million messages a second has in ten thousand years."""

BEGINS: Final = ord("{")
ENDS: Final = ord("}")
"""The first and the last byte of a JSON object. `Room.receive` looks at them itself: a call costs more than that. A
payload that begins with a position and ends so has data."""


TRACED = b"!traced:"
"""With what it begins that a message is traced. Without data it is nothing that `parse_payload` knows."""

EVENTS_TOLD = ("signal", "changed", "read")
"""The events that a channel brings beside `receive`."""


class Told(NamedTuple):
    """An event for the room, but for one session; nobody is told again who misses it. `changed` says which message."""

    event: str
    except_session: str
    change: ChangeTold | None = None


class Arrived(NamedTuple):
    """Where a message is by what its channel brought. `origin` names the server that stored it, where another one's
    messages can come by the same channel (the bus of a Cluster brings them); else it is empty."""

    epoch: str
    seq: int
    origin: str = ""

    def is_from_elsewhere(self, origin: str) -> bool:
        """Whether another server stored it than `origin`, where both are known. After a failover in a Cluster, what the
        old primary still stores is heard by those who listen to the new one already, and the other way round."""
        return bool(self.origin and origin) and self.origin != origin


def channel_epoch(epoch: str, origin: str) -> bytes:
    """The epoch as the messages bring it that this server stores; `origin` may be empty."""
    return f"{epoch}@{origin}".encode() if origin else epoch.encode()


def told_head(event: str, except_session: str = "") -> bytes:
    """What stands before the data of an event that is told to a room."""
    return f"-{except_session}".encode() if event == "receive" else f"!{event}:{except_session}".encode()


def parse_payload(head: bytes, data: bytes) -> Arrived | Told | None:
    """What stands before the data: where a message is, or which event is told. None if it is malformed."""
    if data and not (data[0] == BEGINS and data[-1] == ENDS and is_utf_8(data) and is_json(data)):
        return None
    try:
        if head.startswith(b"-"):
            return Told("receive", head[1:].decode()) if data else None
        if head.startswith(b"!"):
            event, colon, session = head[1:].decode().partition(":")
            return _told(event, session, data) if data and colon else None
        place, _, number = head.decode().partition(":")
    except UnicodeDecodeError:
        return None
    is_number = number.isascii() and number.isdigit() and len(number) <= DIGITS_MAX
    epoch, _, origin = place.partition("@")
    return Arrived(epoch, int(number), origin) if epoch and is_number else None


def _told(event: str, session: str, data: bytes) -> Told | None:
    if event != "changed":
        return Told(event, session) if event in EVENTS_TOLD else None
    change = change_told(data)
    return Told(event, session, change) if change is not None else None


def is_utf_8(data: bytes) -> bool:
    """Whether data is text."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
