"""What one webhook must still be told by this worker, and when each is due.

Owns no events, only where to look: so a webhook that is away costs a bounded number of names. What does not fit stays
in Redis and is read from there later. Values only; the caller passes the time (monotonic).
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.state.hook_queue import MESSAGES, Mark

WAITING_MAX = 2000
"""Marks that one webhook keeps in memory: a megabyte at most."""

LOOKS_S = (0.1, 1.0)
"""A room in which nothing new was found is looked at again after each of these: its message may be on the way still."""

SOON_S = 0.02
"""A room in which much is said is looked at again so soon."""


@dataclass(slots=True, eq=False)
class Item:
    """One mark. `quiet`: looks in a row that found nothing. `is_again`: it was marked while it was looked at."""

    mark: Mark
    since_s: float  # Unix time
    due_s: float = 0.0
    quiet: int = 0
    is_busy: bool = False
    is_again: bool = False
    part: int = field(init=False)

    def __post_init__(self) -> None:
        self.part = self.mark.part


class Waiting:
    """The marks of one webhook."""

    def __init__(self, on_due: Callable[[], None], most: int = WAITING_MAX) -> None:
        """`on_due` is called when something may be due sooner than was said."""
        self._on_due = on_due
        self._most = most
        self._items: dict[Mark, Item] = {}
        self._heap: list[tuple[float, int, Item]] = []
        self._numbers = itertools.count()
        self.overflowed: set[int] = set()
        """Sixteenths of which Redis has more than is here, or may have."""

    def __len__(self) -> int:
        return len(self._items)

    @property
    def has_room(self) -> bool:
        """Whether it is worth while to read what did not fit."""
        return len(self._items) <= self._most // 2

    def count(self, part: int) -> int:
        """How many are of a sixteenth."""
        return sum(item.part == part for item in self._items.values())

    def untold(self) -> list[float]:
        """Since when each was not told (Unix time), without those that are only looked at again."""
        return [item.since_s for item in self._items.values() if not item.quiet]

    def add(self, mark: Mark, since_s: float, now_s: float) -> None:
        """Something has happened there."""
        item = self._items.get(mark)
        if item is None:
            if len(self._items) >= self._most:
                self.overflowed.add(mark.part)
                return
            item = self._items[mark] = Item(mark, since_s)
        elif item.is_busy:
            item.is_again = True
            return
        elif item.quiet:
            item.since_s, item.quiet = since_s, 0
        elif item.due_s <= now_s:
            return  # it is due already
        self._schedule(item, now_s)

    def take(self, now_s: float, most: int) -> list[Item]:
        """What is due, the longest due first; it is busy until it is given back."""
        taken: list[Item] = []
        while self._heap and len(taken) < most and self._heap[0][0] <= now_s:
            due_s, _, item = heapq.heappop(self._heap)
            if not item.is_busy and item.due_s == due_s and self._items.get(item.mark) is item:
                item.is_busy = True
                taken.append(item)
        return taken

    def due_in_s(self, now_s: float, most_s: float) -> float:
        """How long until something may be due."""
        return min(most_s, max(0.0, self._heap[0][0] - now_s)) if self._heap else most_s

    def told(self, item: Item, now_s: float, since_s: float, has_more: bool) -> bool:
        """The webhook was told; returns whether nothing is left to look at. A room in which something was said is
        looked at again, for what came meanwhile."""
        item.is_busy = False
        if self._items.get(item.mark) is not item:
            return False
        is_soon, item.is_again = has_more or item.is_again, False
        if not is_soon and item.mark.kind != MESSAGES:
            del self._items[item.mark]
            return True
        item.since_s, item.quiet = since_s, 0 if is_soon else len(LOOKS_S)
        self._schedule(item, now_s + (SOON_S if is_soon else LOOKS_S[-1]))
        return False

    def found_nothing(self, item: Item, now_s: float, wait_s: float = 0.0) -> bool:
        """Nothing is to be told; returns whether that is so for good. What waits is looked at again then."""
        item.is_busy = False
        if self._items.get(item.mark) is not item:
            return False
        if item.is_again:
            item.is_again, item.quiet = False, 0
            self._schedule(item, now_s)
        elif wait_s > 0:
            self._schedule(item, now_s + wait_s)
        elif item.mark.kind == MESSAGES and item.quiet < len(LOOKS_S):
            self._schedule(item, now_s + LOOKS_S[item.quiet])
            item.quiet += 1
        else:
            del self._items[item.mark]
            return True
        return False

    def give_back(self, item: Item, due_s: float) -> None:
        """It could not be told now."""
        item.is_busy = item.is_again = False
        if self._items.get(item.mark) is item:
            self._schedule(item, due_s)

    def drop(self, part: int) -> None:
        """The lease is another worker's."""
        self.overflowed.discard(part)
        for mark in [mark for mark, item in self._items.items() if item.part == part]:
            del self._items[mark]

    def _schedule(self, item: Item, due_s: float) -> None:
        item.due_s = due_s
        heapq.heappush(self._heap, (due_s, next(self._numbers), item))
        self._on_due()
