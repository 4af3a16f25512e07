"""Rooms that must be read again because Redis or its channels were away: all of a worker, some a turn.

Owns the order. Asking for one room costs the worker 50 µs, so 10,000 rooms at once would keep its clients waiting for
half a second. A room that waits here delivers what follows its position, and asks by itself when something is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from itertools import islice
from typing import Any

from gateway.rooms.room import Room

AT_ONCE = 100
"""Rooms that are asked for in one turn of the event loop: 5 ms."""

UNDER_WAY_MAX = 200
"""With more readings under way than that the others wait: thousands of tasks at one time would be a feast for the
garbage collector, which stops the worker. 64 of them are at Redis (`snapshot_source.py`)."""

LOOK_S, LOOKS_MAX = 0.002, 25
"""How often it is looked whether they are done. Those that Redis does not answer hold the others up for 50 ms."""


class Repairs:
    """The rooms of one worker that wait to be read."""

    def __init__(self, spawn: Callable[[Coroutine[Any, Any, None]], object]) -> None:
        self._spawn = spawn
        self._waiting: dict[str, Room] = {}
        self._is_running = False

    def want(self, rooms: Iterable[Room]) -> None:
        """These must be read, from now on. One that is being read is told at once, as it may have been asked too
        early; so are all of them where they are few."""
        some = list(rooms)
        for room in some:
            if len(some) <= AT_ONCE or room.reading.is_open:
                room.request_again()
            else:
                self._waiting[room.name] = room
        if self._waiting and not self._is_running:
            self._is_running = True
            self._spawn(self._ask())

    async def _ask(self) -> None:
        """Woken by `want`; ended when no room waits any more, or by the hub."""
        waiting = self._waiting
        asked: list[Room] = []
        try:
            while waiting:
                for name in list(islice(waiting, AT_ONCE)):
                    asked.append(waiting.pop(name))
                    asked[-1].request_again()
                for _ in range(LOOKS_MAX):
                    await asyncio.sleep(LOOK_S)
                    asked = [room for room in asked if room.reading.is_running]
                    if len(asked) <= UNDER_WAY_MAX - AT_ONCE:
                        break
        finally:
            self._is_running = False
