"""Posts to one webhook under the leases of this worker: its marks, its way, and its four lines."""

from __future__ import annotations

import asyncio
import time

from gateway.background import Background
from gateway.metrics import (
    webhook_backlog,
    webhook_failures,
    webhook_gaps,
    webhook_oldest_seconds,
    webhook_posts,
)
from gateway.pauses import Backoff
from gateway.state.hook_progress import HookProgress
from gateway.state.hook_queue import HookQueue, Mark
from gateway.webhooks.line import PAUSES, Health, Line
from gateway.webhooks.posting import IN_FLIGHT, Posting
from gateway.webhooks.reading import Fences, Reading
from gateway.webhooks.waiting import Waiting
from gateway.webhooks.webhook import Webhook

PAGE = 500
"""How much is read at once of what did not fit into memory."""


class Delivery:
    """One webhook of one worker."""

    def __init__(
        self,
        hook: Webhook,
        queue: HookQueue,
        progress: HookProgress,
        fences: Fences,
        retry_s: float,
        pauses: Backoff = PAUSES,
    ) -> None:
        """`retry_s` is for how long it may be away before messages are given up; `pauses` are between attempts."""
        self.hook = hook
        self._queue = queue
        self._due = asyncio.Event()
        self.waiting = Waiting(self._due.set)
        self.reading = Reading(hook.name, queue, progress, fences)
        self._posting = Posting(hook)
        health = Health(hook.name)
        self._lines = [
            Line(self.waiting, self._due, self.reading, self._posting, health, retry_s, pauses)
            for _ in range(IN_FLIGHT)
        ]
        for counter in (
            webhook_posts,
            webhook_failures,
            webhook_gaps,
            webhook_backlog,
            webhook_oldest_seconds,
        ):
            counter.count(hook.name, 0)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is in flight."""
        return not any(line.is_busy for line in self._lines)

    def start(self, background: Background) -> None:
        """Posts from now on."""
        for number, line in enumerate(self._lines, 1):
            background.keep(line.run(), f"webhook {self.hook.name}, request {number}")

    async def refill(self) -> None:
        """Reads what did not fit before, where there is room now. Raises a StoreError."""
        for part in list(self.waiting.overflowed):
            if not self.waiting.has_room:
                return
            most = self.waiting.count(part) + PAGE
            found = await self._queue.pending(part, self.hook.name, most)
            self.waiting.overflowed.discard(part)
            for name, since_s in found:
                if (mark := Mark.read(name)) is not None:
                    self.waiting.add(mark, since_s, time.monotonic())
            if len(found) == most:
                self.waiting.overflowed.add(part)

    async def measure(self) -> None:
        """Sets the metrics. Raises a StoreError."""
        untold = self.waiting.untold()
        backlog = len(untold)
        for part in list(self.waiting.overflowed):
            count = await self._queue.pending_count(part, self.hook.name)
            backlog += max(0, count - self.waiting.count(part))
        webhook_backlog.set(self.hook.name, backlog)
        oldest_s = max(0, round(time.time() - min(untold))) if untold else 0
        webhook_oldest_seconds.set(self.hook.name, oldest_s)

    async def close(self) -> None:
        """Closes the connections."""
        await self._posting.close()
