"""Leaves marks for webhooks where something happens on this worker.

A mark leaves in the same write as the message, just before it: one that is stored has a mark, whatever becomes of this
worker. A mark can be lost all the same: Redis refused it, a failover took it, or on a Cluster, where it lies at another
server, its message was late. So:

- what Redis did not take is marked again until it does;
- after a failover everything is marked again that was marked lately;
- a message that was answered late is marked again;
- the rooms of this worker are all marked anew from time to time (the sweep).

A mark too many costs one look at the room.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import structlog

from gateway.errors import StoreError, StoreUnavailable
from gateway.interfaces import Reply
from gateway.rooms.room import Room
from gateway.state.batches import BATCH, batched
from gateway.state.hook_queue import MEMBER, MESSAGES, OCCUPIED, HookQueue, Mark, prepared
from gateway.webhooks.webhook import Webhook

log = structlog.get_logger("gateway.webhooks")

COALESCED_S = 0.05
"""A room that was marked so recently is not marked again: who holds the lease looks again a second after each mark."""

LATE_S = 0.5
"""A message that took longer is marked again: that second may be over."""

LATELY_S = 60.0
"""What was marked since then is marked again after a failover, which takes some seconds."""

KNOWN_MAX = 20_000
"""Marks that are remembered, and rooms of which it is remembered who wants to be told."""

TURN_S = 1.0
SWEPT_A_TURN = 50
"""Rooms that the sweep marks each turn: one look of some microseconds for each."""

SWEEP_S = 60.0
"""Least time between two sweeps of the same rooms."""


NEVER_S = float("-inf")


class MessageMark:
    """The mark of a room's messages, which is left again and again: what is sent, who takes the answer, and when it was
    left last. Each message asks for it, so that it is made once, and found by one look."""

    __slots__ = ("at_s", "command", "is_wanted", "key", "on_reply")

    def __init__(self, mark: Mark, is_wanted: bool, on_reply: Callable[[Reply], None]) -> None:
        self.at_s = NEVER_S
        self.is_wanted = is_wanted
        self.key, self.command = prepared(mark)
        self.on_reply = on_reply


class RoomsHere(Protocol):
    """Who knows in which rooms this worker has sessions."""

    rooms: dict[str, Room]


class HookMarks:
    """Told of messages by the publisher, and of who came and went by presence."""

    def __init__(
        self, queue: HookQueue, hooks: Sequence[Webhook], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._queue = queue
        self._hooks = hooks
        self._clock = clock
        self._wanted: dict[tuple[str, str], bool] = {}  # by kind and room
        self._marked: dict[Mark, float] = {}  # when each was left last
        self._of_messages: dict[str, MessageMark] = {}  # the same for messages, by room
        self._again: set[Mark] = set()  # what Redis has not taken, or may have lost

    # -- from the publisher (`rooms/publisher.Outbox`)

    def will_publish(self, room: str) -> bool:
        """A message of that room is submitted next; returns whether it has left a mark. Those that are submitted soon
        after it are answered soon after it."""
        mark = self._of_messages.get(room) or self._message_mark(room)
        now_s = self._clock()
        if not mark.is_wanted or now_s - mark.at_s < COALESCED_S:
            return False
        self._leave_message_mark(mark, now_s)
        return True

    def published(self, room: str, took_s: float) -> None:
        """The answer to one that left a mark has come, after that time."""
        if took_s > LATE_S:
            self._leave_message_mark(self._of_messages.get(room) or self._message_mark(room), self._clock())

    def _message_mark(self, room: str) -> MessageMark:
        mark = Mark(MESSAGES, room)
        left = MessageMark(mark, self._wants(MESSAGES, room), partial(self._on_marked, mark))
        self._of_messages[room] = left
        return left

    # -- from presence (`interfaces.PresenceEvents`)

    def on_presence(self, room: str, username: str, is_here: bool, count: int) -> None:
        """A user came, or the last session of one is gone; so many users are there now. Without a name it is somebody
        who is only counted."""
        if count <= is_here and self._wants(OCCUPIED, room):
            self._leave(Mark(OCCUPIED, room), self._clock())
        if username and self._wants(MEMBER, room):
            self._leave(Mark(MEMBER, room, username), self._clock())

    # -- what may be lost

    def on_restored(self) -> None:
        """Redis was away, or another server has taken over."""
        since_s = self._clock() - LATELY_S
        of_messages = {Mark(MESSAGES, room): mark.at_s for room, mark in self._of_messages.items()}
        recent = of_messages | self._marked
        for mark, at_s in recent.items():
            if at_s >= since_s:
                self._mark_again(mark)

    async def run(self, rooms: RoomsHere) -> None:
        """Woken every second; ended by cancellation. What the store does not take is tried again at the next turn."""
        left: list[str] = []
        swept_s = self._clock()
        while True:
            await asyncio.sleep(TURN_S)
            await self._leave_again()
            self._forget()
            if not left and self._clock() - swept_s >= SWEEP_S:
                left, swept_s = list(rooms.rooms), self._clock()
            some, left = left[:SWEPT_A_TURN], left[SWEPT_A_TURN:]
            for room in some:
                self._sweep(room)

    def _sweep(self, room: str) -> None:
        for kind in (MESSAGES, OCCUPIED):
            if self._wants(kind, room):
                self._mark_again(Mark(kind, room))

    async def _leave_again(self) -> None:
        marks = list(self._again)
        for some in batched(marks):
            try:
                await self._queue.mark_all(some)
            except StoreUnavailable:
                return
            except StoreError as error:
                log.error("hook_marks_refused", reason=str(error), marks=len(some))
            self._again.difference_update(some)

    def _mark_again(self, mark: Mark) -> None:
        if len(self._again) < KNOWN_MAX:
            self._again.add(mark)

    # -- marks

    def _leave(self, mark: Mark, now_s: float) -> None:
        self._marked[mark] = now_s
        self._queue.mark(*prepared(mark), partial(self._on_marked, mark))

    def _leave_message_mark(self, mark: MessageMark, now_s: float) -> None:
        mark.at_s = now_s
        self._queue.mark(mark.key, mark.command, mark.on_reply)

    def _on_marked(self, mark: Mark, reply: Reply) -> None:
        if isinstance(reply, StoreError):
            self._mark_again(mark)

    def _wants(self, kind: str, room: str) -> bool:
        known = self._wanted.get((kind, room))
        if known is None:
            if len(self._wanted) >= KNOWN_MAX:
                self._wanted.clear()
            known = self._wanted[kind, room] = any(hook.wants(kind, room) for hook in self._hooks)
        return known

    def _forget(self) -> None:
        """What was marked long ago; and the rest, where it is too much."""
        since_s = self._clock() - LATELY_S
        if len(self._of_messages) > KNOWN_MAX:
            young = {room: mark for room, mark in self._of_messages.items() if mark.at_s >= since_s}
            self._of_messages = young if len(young) <= KNOWN_MAX else {}
        if len(self._marked) > BATCH:
            recent = {mark: at_s for mark, at_s in self._marked.items() if at_s >= since_s}
            self._marked = recent if len(recent) <= KNOWN_MAX else {}
