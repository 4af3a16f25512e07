"""Rooms that are where Redis says: whether one that lost its channel missed anything, without reading its history.

A room whose channel broke and is back has usually missed nothing. Then its position in Redis is its own, and the newest
message is of the same time. Values only.

Example: the room is at `e1:7`. Redis says `e1:7`, and that 7 is of the time of this room's 7: nothing was missed. Had
Redis lost 7 and given the number to another message, the time would be another one.
"""

from __future__ import annotations

from gateway.rooms.member import MemberState
from gateway.rooms.room import Room
from gateway.state.history import Place


def may_be_confirmed(room: Room) -> bool:
    """Whether it is enough to know where a room is: nobody waits to be brought up, and nothing is suspected."""
    reading = room.reading
    if not room.epoch or reading.is_running or reading.is_open or reading.is_unsure or reading.is_refused:
        return False
    if room.detector.highest_seq(*room.position) != room.seq:
        return False  # something was observed that Redis must be told, or acknowledged that has not come
    return not any(
        member.state is MemberState.LAGGING and not member.socket.is_behind
        for member in room.members.values()
    )


def is_there(room: Room, place: Place | None) -> bool:
    """Whether that is where the room is, and its newest message the one that its members got. Where messages were
    changed, a reading tells who missed that."""
    if place is None or place.is_changed or (place.epoch, place.seq) != (room.epoch_bytes, room.seq):
        return False
    if not room.seq:
        return True
    newest = b':%b,"room":' % place.last_ms
    return bool(place.last_ms) and room.last_data is not None and newest in room.last_data
