"""What moderators have decided about the rooms of this worker, as far as it keeps it in memory.

Redis decides who may come in and who may speak, in the scripts that do it. This copy is for what Redis is not asked
about: signals, and who must go. It has the rooms in which this worker has members and about which anything is decided.
Values only: `chat/moderation_follower.py` fills it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Container

from gateway.access.identity import Identity
from gateway.rooms.member import Member
from gateway.rooms.room import Room
from gateway.state.moderation import Expelled, RoomModeration, subject_of


class ModeratedRooms:
    """The copy of one worker."""

    def __init__(self) -> None:
        self._rooms: dict[str, RoomModeration] = {}
        self.wanted: set[str] = set()
        """Rooms that are to be read anew; the follower takes them out."""
        self.woken = asyncio.Event()
        """Set when one is wanted."""

    def __contains__(self, room: str) -> bool:
        return room in self._rooms

    def want(self, *rooms: str) -> None:
        """Rooms are to be read anew."""
        self.wanted.update(rooms)
        self.woken.set()

    def put(self, room: str, found: RoomModeration) -> None:
        """This holds in a room."""
        if found == RoomModeration():
            self._rooms.pop(room, None)
        else:
            self._rooms[room] = found

    def forget(self, room: str) -> None:
        """This worker has nobody in the room any more."""
        self._rooms.pop(room, None)
        self.wanted.discard(room)

    def keep_only(self, rooms: Container[str]) -> None:
        """Of other rooms nobody is here any more."""
        for room in [room for room in self._rooms if room not in rooms]:
            self.forget(room)

    def muted_until(self, room: str, identity: Identity, username: str) -> int | None:
        """Until when (ms) a member may not speak in a room, by signals either; None if it may."""
        found = self._rooms.get(room)
        until_ms = found.mutes.get(subject_of(identity.user, username), 0) if found is not None else 0
        return until_ms if until_ms > time.time() * 1000 else None

    def expels(self, identity: Identity, member: Member[Room]) -> Expelled | None:
        """Why a member must go from its room; None if it need not."""
        found = self._rooms.get(member.room.name)
        if found is None:
            return None
        subject = subject_of(identity.user, member.username)
        return found.expels(subject, member.entered_ms)
