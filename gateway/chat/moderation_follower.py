"""Follows what moderators decide about the rooms of this worker, and takes out who must go.

1. A word on `gateway:control` names a room, and so does the sorted set that each worker looks at every few seconds.
2. The worker reads what holds there now, if it has members in the room.
3. Who was kicked, and everybody if the room is closed, is told `removed` and is out: nothing of the room follows.

A worker that did not hear the word finds the room with its next look. One that was cut off from Redis for longer than
the sorted set remembers looks at all its rooms.
"""

from __future__ import annotations

import asyncio
import time

import structlog

from gateway.chat.control import Word
from gateway.chat.memberships import Memberships
from gateway.chat.moderated_rooms import ModeratedRooms
from gateway.chat.sessions import Sessions
from gateway.errors import StoreError, StoreUnavailable
from gateway.pauses import woken_within
from gateway.rooms.hub import Hub
from gateway.rooms.member import Member
from gateway.rooms.room import Room
from gateway.state.batches import batched
from gateway.state.moderation import NOTED_S, ModerationStore

log = structlog.get_logger("gateway.chat")

LOOK_S = 3.0
"""So often a worker looks for what it was not told: as often as it beats by default."""

OVERLAP_MS = 60_000
"""A look begins so long before the newest room that the last one found: clocks of a Cluster's nodes differ."""

PAUSE_S = 0.05
"""Least time between two readings: many words about one room cost one."""

SEEN_MAX = 10_000
"""Rooms of the last looks that are remembered; more are forgotten, and read once more."""


class ModerationFollower:
    """Keeps a worker's copy up to date."""

    def __init__(
        self,
        store: ModerationStore,
        copy: ModeratedRooms,
        hub: Hub,
        sessions: Sessions,
        memberships: Memberships,
        look_s: float,
    ) -> None:
        """`look_s` is how often it looks without a word."""
        self._store = store
        self._copy = copy
        self._hub = hub
        self._sessions = sessions
        self._memberships = memberships
        self._look_s = look_s
        # Room → when something was decided about it, as the last looks found it.
        self._seen: dict[str, int] = {}
        self._newest_ms = 0
        self._looked_s = time.monotonic()
        self._failure = ""  # of the last turn; logged when it changes

    def on_word(self, word: Word) -> None:
        """The word `moderated` came, with the `room`. Raises KeyError or ValueError."""
        room = word["room"]
        if not isinstance(room, str):
            raise ValueError("no room")
        self.want(room)

    def want(self, room: str) -> None:
        """Something was decided about a room."""
        if room in self._hub.rooms:
            self._copy.want(room)

    async def run(self) -> None:
        """Woken by `want`, and every `look_s`; ended by cancellation. What fails is due again at the next turn."""
        while True:
            is_woken = bool(self._copy.wanted) or await woken_within(self._copy.woken, self._look_s)
            self._copy.woken.clear()
            await self._turn(must_look=not is_woken or time.monotonic() - self._looked_s > self._look_s)
            await asyncio.sleep(PAUSE_S if not self._failure else self._look_s)

    async def _turn(self, must_look: bool) -> None:
        try:
            if must_look:
                await self.look()
            await self._read_wanted()
            self._failure = ""
        except Exception as error:  # whatever it is: without this loop a kick might never reach this worker
            if str(error) != self._failure and not isinstance(error, StoreUnavailable):
                is_odd = not isinstance(error, StoreError)
                log.error("moderation_unreadable", reason=str(error), exc_info=error if is_odd else None)
            self._failure = str(error) or type(error).__name__

    async def look(self) -> None:
        """Wants the rooms about which something was decided since the last look. Raises a StoreError."""
        began_s = time.monotonic()
        if began_s - self._looked_s > NOTED_S / 2:
            self._copy.want(*self._hub.rooms)
        async for room, at_ms in self._store.noted(max(0, self._newest_ms - OVERLAP_MS)):
            self._newest_ms = max(self._newest_ms, at_ms)
            if self._seen.get(room) != at_ms:
                self._seen[room] = at_ms
                self.want(room)
        self._copy.keep_only(self._hub.rooms)
        self._looked_s = began_s
        if len(self._seen) > SEEN_MAX:
            self._seen.clear()

    async def _read_wanted(self) -> None:
        """Reads the rooms that are wanted and takes out who must go; one that fails is wanted again."""
        while self._copy.wanted:
            room = self._copy.wanted.pop()
            if room not in self._hub.rooms:
                continue
            try:
                self._copy.put(room, await self._store.read(room))
            except StoreUnavailable:
                self._copy.wanted.add(room)
                raise
            if room in self._hub.rooms:
                await self._expel(self._hub.rooms[room])
            else:
                self._copy.forget(room)

    async def _expel(self, room: Room) -> None:
        """All of them are out at once, before the store is told of one: some at a time, as each costs a command."""
        going: list[tuple[str, Member[Room]]] = []
        for member in list(room.members.values()):
            session = self._sessions.get(member.session)
            if session is not None and (why := self._copy.expels(session.identity, member)) is not None:
                self._memberships.take_out(session, member, why)
                going.append((member.session, member))
        for some in batched(going):
            await asyncio.gather(*(self._memberships.tell_left(sid, member) for sid, member in some))
