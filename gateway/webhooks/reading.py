"""Looks at what marks are about, and puts together what a webhook is told at once."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from gateway.errors import StoreRefused
from gateway.protocol import Position
from gateway.state.hook_progress import Fenced, HookProgress, Unread
from gateway.state.hook_queue import MEMBER, MESSAGES, PARTS, HookQueue
from gateway.webhooks.events import (
    GAP_BEGINS,
    Event,
    known_after,
    member_json,
    message_events,
    occupancy_json,
)
from gateway.webhooks.waiting import Item

log = structlog.get_logger("gateway.webhooks")

EVENTS_MAX = 100
BODY_MAX_BYTES = 256 * 1024
AROUND_BYTES = 64
"""What stands around the events."""

VACATED_AFTER_S = 3.0
"""A room must stay empty for so long until that is told. Who lost the connection was counted for the grace period
before; this is for those who leave and come back."""

SAVED_ENTRY_MIN = 1
"""Of each room at least so much is read, however many there are."""


class Fences(Protocol):
    """Who knows the leases."""

    def fence(self, part: int) -> int:
        """The fence of a lease that lasts long enough; 0 if there is none."""

    def on_fenced(self, part: int, fence: int) -> None:
        """Something bears a higher fence."""


@dataclass(slots=True, eq=False)
class Told:
    """What is told of one mark. `to` and `version` are what is stored afterwards; `has_more`: there is more to tell."""

    item: Item
    fence: int
    events: list[Event] = field(default_factory=list)
    version: int = 0
    is_occupied: bool = False
    has_more: bool = False
    wait_s: float = 0.0
    unread: Unread | None = None

    @property
    def to(self) -> Position | None:
        """How far the room was told with it."""
        return self.events[-1].to if self.events else None

    @property
    def size_bytes(self) -> int:
        """What its events take in a body."""
        return sum(len(event.data) + 1 for event in self.events)

    @property
    def has_new_gap(self) -> bool:
        """Whether it tells a gap that was not counted when messages were given up."""
        is_new = self.unread is not None and self.unread.missed is None
        return is_new and any(event.data.startswith(GAP_BEGINS) for event in self.events)

    def cut(self, events_max: int, size_max_bytes: int) -> None:
        """Leaves the first events only, as many as fit."""
        size_bytes = 0
        for place, event in enumerate(self.events):
            size_bytes += len(event.data) + 1
            if place >= events_max or size_bytes > size_max_bytes:
                del self.events[place:]
                self.has_more = True
                return


@dataclass(slots=True)
class Batch:
    """What is posted at once; and marks of which there was nothing to tell, or no place for it, or whose lease
    is over or about to end."""

    told: list[Told] = field(default_factory=list)
    nothing: list[Told] = field(default_factory=list)
    left: list[Item] = field(default_factory=list)
    unleased: list[Item] = field(default_factory=list)

    def events(self) -> list[bytes]:
        """All events, in the order of their rooms."""
        return [event.data for told in self.told for event in told.events if event.data]


def put_together(found: Sequence[Told]) -> Batch:
    """As much as one body may hold; one event that is larger than that goes alone."""
    batch, count, size_bytes = Batch(), 0, AROUND_BYTES
    for told in found:
        if not told.events:
            batch.nothing.append(told)
            continue
        room_bytes = BODY_MAX_BYTES - size_bytes
        if not count:  # however large its first event is
            room_bytes = max(room_bytes, len(told.events[0].data) + 1)
        told.cut(EVENTS_MAX - count, room_bytes)
        if told.events:
            batch.told.append(told)
            count += len(told.events)
            size_bytes += told.size_bytes
        else:
            batch.left.append(told.item)
    return batch


class Reading:
    """Looks for one webhook."""

    def __init__(self, hook: str, queue: HookQueue, progress: HookProgress, fences: Fences) -> None:
        self._hook = hook
        self._queue = queue
        self._progress = progress
        self._fences = fences
        self.since_ms = 0
        """When the webhook became known; set before anything is read."""

    async def batch(self, items: Sequence[Item]) -> Batch:
        """What to post of these marks. Those whose lease is over are left. Raises a StoreError."""
        most = max(SAVED_ENTRY_MIN, math.ceil(EVENTS_MAX / max(1, len(items))))
        results = await asyncio.gather(*(self._look(item, most) for item in items), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        found = [result for result in results if isinstance(result, Told)]
        batch = put_together([told for told in found if told.fence])
        batch.unleased = [told.item for told in found if not told.fence]
        return batch

    async def _look(self, item: Item, most: int) -> Told:
        told = Told(item, self._fences.fence(item.part))
        if not told.fence:
            return told
        try:
            if item.mark.kind == MESSAGES:
                await self._messages(told, most)
            elif item.mark.kind == MEMBER:
                await self._member(told)
            else:
                await self._occupancy(told)
        except Fenced as fenced:
            self._fences.on_fenced(item.part, fenced.fence)
            told.fence = 0
        except (StoreRefused, ValueError) as error:  # somebody else's hand: it must not hold up other rooms
            log.error("hook_room_unreadable", webhook=self._hook, room=item.mark.room, reason=str(error))
            told.events = []
        return told

    async def _messages(self, told: Told, most: int) -> None:
        room = told.item.mark.room
        told.unread = unread = await self._progress.unread(room, self._hook, told.fence, most)
        told.events = message_events(room, unread, self.since_ms)
        told.has_more = bool(told.to) and told.to != unread.newest

    async def _member(self, told: Told) -> None:
        _, room, username = told.item.mark
        is_here, version = await self._progress.is_member(room, username)
        told.events = [Event(member_json(room, username, is_here, version))]

    async def _occupancy(self, told: Told) -> None:
        room = told.item.mark.room
        found = await self._progress.occupancy(room, self._hook, told.fence, VACATED_AFTER_S)
        if found.is_occupied:  # before it is told: the sweep looks at what is noted
            await self._queue.note_occupied(room, True)
        told.wait_s, told.has_more = found.wait_s, found.wait_s > 0
        told.version, told.is_occupied = found.version, found.is_occupied
        if found.version != found.told_version:
            told.events = [Event(occupancy_json(room, found))]

    # -- afterwards

    async def store(self, told: Told) -> bool:
        """Stores that the webhook was told; returns whether this worker may still do so. Raises a StoreError."""
        room, hook, fence = told.item.mark.room, self._hook, told.fence
        try:
            if told.to is not None and told.unread is not None:
                known = known_after(told.unread, told.events)
                await self._progress.advance(room, hook, fence, told.to, known)
            elif told.version:
                await self._progress.occupancy_told(room, hook, fence, told.version)
                if not told.is_occupied:
                    await self._queue.note_occupied(room, False)
        except Fenced:
            return False
        return True

    async def give_up(self, item: Item) -> bool:
        """The webhook will not be told of the messages that are there now, but of a gap; returns whether that is
        stored. States stay true and are told later. Raises a StoreError."""
        fence, room = self._fences.fence(item.part), item.mark.room
        if item.mark.kind != MESSAGES or not fence:
            return False
        try:
            unread = await self._progress.unread(room, self._hook, fence, 1)
            after = unread.told or Position(unread.newest.epoch, 0)
            if unread.newest.epoch:
                await self._progress.advance(room, self._hook, fence, unread.newest, unread.known, after)
        except Fenced:
            return False
        return True

    async def done(self, items: Sequence[Item]) -> None:
        """Nothing is left to tell of these. Raises a StoreError."""
        for part in range(PARTS):
            names = [item.mark.name for item in items if item.part == part]
            if names and (fence := self._fences.fence(part)):
                await self._queue.done(part, fence, self._hook, names)
