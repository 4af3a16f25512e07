"""The windows of rooms that gather what they write (`gather_ms`): when each ends."""

from __future__ import annotations

import structlog

from gateway.rooms.outgoing import OpenWindow
from gateway.rooms.room import Room
from gateway.state.keeping import RoomKeeping
from gateway.timers import TimerQueue, Timers

log = structlog.get_logger("gateway.hub")


class Windows:
    """One queue of time-outs for each length; there are as many as the rules say."""

    def __init__(self, timers: Timers, keeping: RoomKeeping | None) -> None:
        self._timers = timers
        self._keeping = keeping
        self._queues: dict[int, TimerQueue[Room]] = {}

    def of(self, room: str) -> OpenWindow | None:
        """What opens a room's windows; None for a room that does not gather."""
        gather_ms = self._keeping.keeping(room).gather_ms if self._keeping is not None else 0
        if not gather_ms:
            return None
        if gather_ms not in self._queues:
            self._queues[gather_ms] = self._timers.queue(gather_ms / 1000, _over)
        return self._queues[gather_ms].add


def _over(room: Room, due_s: float) -> None:
    try:
        room.outgoing.window_over()
    except Exception:
        log.exception("room_delivery_failed", room=room.name)
        room.request_again()
