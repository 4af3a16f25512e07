"""What one worker has of a room, put into words for people who look at it. Reads, and changes nothing."""

from __future__ import annotations

from typing import Any

from gateway.rooms.member import MemberState
from gateway.rooms.room import Room


def room_report(room: Room, now_s: float) -> dict[str, Any]:
    """The room as this worker has it.

    members    how many sessions
    position   that of the last message that live members got; None before the first snapshot
    buffered   messages that came and that nobody gets before the history is read
    behind     members that read too slowly, and get nothing until they have read
    unsure     whether no snapshot has confirmed the position since a failover
    reading    whether the history is being read
    refused    whether the store refused the last reading
    heard_ms   how long ago the channel brought something else than the next message; None if it never did
    """
    reading = room.reading
    behind = sum(1 for member in room.members.values() if member.state is MemberState.LAGGING)
    return {
        "members": len(room.members),
        "position": str(room.position) if room.epoch else None,
        "buffered": len(reading.buffer),
        "behind": behind,
        "unsure": reading.is_unsure,
        "reading": reading.is_open,
        "refused": reading.is_refused,
        "heard_ms": round((now_s - room.heard_s) * 1000, 1) if room.heard_s else None,
    }
