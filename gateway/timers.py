"""One timer for all time-outs of a worker.

Time-outs of one length fall due in the order in which they were set. So each length has a queue, first in, first out,
and one timer waits for the earliest head of all queues. A queue says how late its time-outs may be: what falls due soon
after the head is handled with it. Setting a time-out costs an append, whatever the number of connections. Cancelling
one costs nothing: whoever set it looks, when it falls due, whether it still matters.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")

OnDue = Callable[[Item, float], None]
"""Gets an item that fell due and the time at which it was due; must not raise."""


class TimerQueue(Generic[Item]):
    """Time-outs of one length."""

    __slots__ = ("_on_due", "_timers", "entries", "late_s", "length_s")

    def __init__(self, timers: Timers, length_s: float, on_due: OnDue[Item], late_s: float) -> None:
        self._timers = timers
        self._on_due = on_due
        self.length_s = length_s
        self.late_s = late_s
        self.entries: deque[tuple[float, Item]] = deque()

    def add(self, item: Item, from_s: float | None = None) -> float:
        """Sets a time-out for `item`, from now or from a monotonic time; returns when it falls due."""
        due_s = (time.monotonic() if from_s is None else from_s) + self.length_s
        self.entries.append((due_s, item))
        self._timers.awaits(due_s + self.late_s)
        return due_s

    def run_due(self, now_s: float) -> None:
        """Hands over what has fallen due, with the time at which it was due."""
        entries = self.entries
        while entries and entries[0][0] <= now_s:
            due_s, item = entries.popleft()
            self._on_due(item, due_s)


class Timers:
    """The queues of one worker and their timer; times are `time.monotonic()` seconds."""

    TICK_S = 0.002
    """Time-outs that fall due this close together are handled at once: no connection notices 2 ms, and thousands of
    connections that began together wake the worker once."""

    EARLY_S = 0.001
    """Event loops count in milliseconds: their timers may ring so much too early."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queues: list[TimerQueue[object]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = 0.0

    def queue(self, length_s: float, on_due: OnDue[Item], late_s: float = TICK_S) -> TimerQueue[Item]:
        """A queue for time-outs of one length; `on_due` gets each item and its due time, at most `late_s` later if the
        worker does not stand still, and must not raise."""
        queue: TimerQueue[Item] = TimerQueue(self, length_s, on_due, late_s)
        self._queues.append(queue)  # type: ignore[arg-type]
        return queue

    def awaits(self, ring_s: float) -> None:
        """Makes sure that the timer rings at `ring_s` or before."""
        if self._timer is not None:
            if self._timer_s <= ring_s:
                return
            self._timer.cancel()
        self._timer_s = ring_s
        self._timer = self._loop.call_later(max(0.0, ring_s - time.monotonic()), self._ring)

    def close(self) -> None:
        """Stops the timer; nothing falls due any more."""
        if self._timer is not None:
            self._timer.cancel()
        for queue in self._queues:
            queue.entries.clear()

    def _ring(self) -> None:
        self._timer = None
        now_s = time.monotonic()
        for queue in self._queues:
            if queue.entries and queue.entries[0][0] + queue.late_s <= now_s + self.EARLY_S:
                queue.run_due(now_s)
        rings = [queue.entries[0][0] + queue.late_s for queue in self._queues if queue.entries]
        if rings:
            self.awaits(min(rings))
