"""This worker's sessions in rooms whose members are only counted (`members = "count"`).

Owns who of them is where, in memory, and that the store knows their number:

- A number is written within a second after it changed, once a second at most, however many come and go.
- It is written again every `RENEWED_S`, because a number that is older than three minutes counts no longer.
- Whoever drops is gone at once: with nobody announced, there is no grace period to wait for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial

from gateway.access.room_rules import COUNT, RoomRules, open_to
from gateway.chat.retries import Retries, note_refused, until_stored
from gateway.errors import Moderated, StoreError, StoreUnavailable
from gateway.state.batches import batched
from gateway.state.presence import Change
from gateway.state.room_counts import RoomCounts

WRITTEN_EVERY_S = 1.0
RENEWED_S = 50.0
"""Two attempts may fail before the number counts no longer."""


class CountedRooms:
    """The sessions of this worker in counted rooms."""

    def __init__(self, counts: RoomCounts, rules: RoomRules | None, retries: Retries) -> None:
        self._counts = counts
        self._rules = rules or open_to(False)
        self._retries = retries
        self._here: dict[str, set[str]] = {}  # sessions by room
        self._changed: set[str] = set()  # rooms whose number must be written
        self._writing: asyncio.Task[None] | None = None

    def __contains__(self, room: str) -> bool:
        rule = self._rules.rule(room)
        return rule is not None and rule.members == COUNT

    def enter(
        self,
        room: str,
        session: str,
        on_result: Callable[[Change | StoreError], None],
        subject: str,
        sessions_max: int,
    ) -> None:
        """A session joins, if it may; `on_result` gets the number of sessions with it."""
        here = self._here.setdefault(room, set())
        was_here = session in here
        here.add(session)
        on_reply = partial(self._entered, room, session, was_here, on_result)
        self._counts.enter(room, len(here), on_reply, 0 if was_here else sessions_max, subject)

    def _entered(
        self,
        room: str,
        session: str,
        was_here: bool,
        on_result: Callable[[Change | StoreError], None],
        result: Change | StoreError,
    ) -> None:
        is_turned_away = isinstance(result, Moderated) or (isinstance(result, Change) and result.is_full)
        if is_turned_away and not was_here:
            self._take_out(room, session)
        elif not isinstance(result, StoreError):
            self._write_soon(room)
        on_result(result)

    def leave(self, room: str, session: str) -> None:
        """A session is gone."""
        if self._take_out(room, session):
            self._write_soon(room)

    def _take_out(self, room: str, session: str) -> bool:
        here = self._here.get(room, set())
        if session not in here:
            return False
        here.remove(session)
        if not here:
            del self._here[room]
        return True

    def renew(self) -> None:
        """The store may have lost the numbers."""
        for room in self._here:
            self._write_soon(room)

    async def settle(self, room: str) -> None:
        """Writes the number of a room now, if it changed. Raises a StoreError."""
        if room in self._changed:
            await self._write([room])

    # -- writing

    def _write_soon(self, room: str) -> None:
        self._changed.add(room)
        if self._writing is None:
            self._writing = self._retries.start(self._write_on())

    async def _write_on(self) -> None:
        """Woken every `WRITTEN_EVERY_S`; ended when there is no session in such rooms any more and all is written, or
        by the end of the retries."""
        renewed_s = time.monotonic()
        try:
            while self._changed or self._here:
                if time.monotonic() - renewed_s >= RENEWED_S:
                    renewed_s = time.monotonic()
                    self._changed.update(self._here)
                for some in batched(list(self._changed)):
                    await until_stored(partial(self._write, some), "count", rooms=len(some))
                await asyncio.sleep(WRITTEN_EVERY_S)
        finally:
            self._writing = None

    async def _write(self, rooms: Sequence[str]) -> None:
        """Raises StoreUnavailable if some were not written; they are written the next time. What the store refuses is
        given up until the number changes again."""
        numbers = [(room, len(self._here.get(room, ()))) for room in rooms if room in self._changed]
        self._changed.difference_update(rooms)
        away: StoreError | None = None
        for (room, _), error in zip(numbers, await self._counts.write(numbers), strict=True):
            if isinstance(error, StoreUnavailable):
                self._changed.add(room)
                away = error
            elif error is not None:
                note_refused("count", error, room=room)
        if away is not None:
            raise away
