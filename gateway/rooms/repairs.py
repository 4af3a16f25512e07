"""Rooms that must be brought up because Redis or its channels were away: all of a worker, some a turn.

Owns the order. Of each room it is first asked where it is (`confirming.py`), which costs 10 µs; only one that is not
where this worker has it is read, which costs 50 µs and more: of 10,000 rooms at once it would keep the worker's clients
waiting for half a second. A room that waits here delivers what follows its position, and asks by itself when something
is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from itertools import islice
from typing import Any, Protocol

from gateway.metrics import repairs
from gateway.rooms.confirming import may_be_confirmed
from gateway.rooms.room import Room

AT_ONCE = 100
"""Rooms that are asked for in one turn of the event loop: 5 ms where all are read."""

UNDER_WAY_MAX = 200
"""With more readings under way than that the others wait: thousands of tasks at one time would be a feast for the
garbage collector, which stops the worker. 64 of them are at Redis (`snapshot_source.py`)."""

LOOK_S, LOOKS_MAX = 0.002, 25
"""How often it is looked whether they are done. Those that Redis does not answer hold the others up for 50 ms."""

OnConfirmed = Callable[[Room, bool], None]
"""Takes a room, and whether it is where Redis says."""


class PositionSource(Protocol):
    """Where it is asked whether a room has missed anything."""

    def confirm(self, room: Room, on_confirmed: OnConfirmed) -> None:
        """Returns at once; the answer is given to `on_confirmed`, exactly once."""


class Repairs:
    """The rooms of one worker that wait to be brought up."""

    def __init__(self, spawn: Callable[[Coroutine[Any, Any, None]], object], source: PositionSource) -> None:
        self._spawn = spawn
        self._source = source
        self._waiting: dict[str, Room] = {}
        self._asked: dict[str, Room] = {}  # it is not known yet where they are
        self._is_running = False

    def __len__(self) -> int:
        """How many rooms wait, or are asked for."""
        return len(self._waiting) + len(self._asked)

    def want(self, rooms: Iterable[Room]) -> None:
        """These must be brought up, from now on. One that is being read is told at once, as it may have been asked too
        early; so are all of them where they are few."""
        some = list(rooms)
        for room in some:
            if len(some) <= AT_ONCE or room.reading.is_open:
                room.request_again()
            else:
                self._waiting[room.name] = room
                self._asked.pop(room.name, None)  # what is answered now may be of before
        if self._waiting and not self._is_running:
            self._is_running = True
            self._spawn(self._ask())

    async def _ask(self) -> None:
        """Woken by `want`; ended when no room waits any more, or by the hub."""
        waiting = self._waiting
        under_way: list[Room] = []
        try:
            while waiting:
                for name in list(islice(waiting, AT_ONCE)):
                    under_way.append(waiting.pop(name))
                    self._ask_for(under_way[-1])
                for _ in range(LOOKS_MAX):
                    await asyncio.sleep(LOOK_S)
                    under_way = [room for room in under_way if self._is_under_way(room)]
                    if len(under_way) <= UNDER_WAY_MAX - AT_ONCE:
                        break
        finally:
            self._is_running = False

    def _is_under_way(self, room: Room) -> bool:
        return room.reading.is_running or self._asked.get(room.name) is room

    def _ask_for(self, room: Room) -> None:
        if room.is_idle or not may_be_confirmed(room):
            room.request_again()
            return
        self._asked[room.name] = room
        self._source.confirm(room, self._answered)

    def _answered(self, room: Room, is_there: bool) -> None:
        """A room that was wanted again since the question waits for another answer."""
        if self._asked.get(room.name) is not room:
            return
        del self._asked[room.name]
        if is_there and may_be_confirmed(room):
            repairs.because("confirmed")
        else:
            room.request_again()
