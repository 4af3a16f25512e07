"""One of the requests that a webhook may have in flight: takes what is due, posts it, stores that, and begins anew.

What could not be posted is looked at again before the next attempt, so that what is posted is what is true then. Only
this line waits meanwhile; others post what is due of other rooms.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from gateway.errors import StoreError, StoreUnavailable
from gateway.metrics import webhook_failures, webhook_gaps, webhook_posts
from gateway.pauses import Backoff, woken_within
from gateway.webhooks.posting import Posting
from gateway.webhooks.reading import Batch, Reading
from gateway.webhooks.waiting import Item, Waiting

log = structlog.get_logger("gateway.webhooks")

ITEMS_AT_ONCE = 20
"""Rooms that one body is about."""

IDLE_S = 1.0
"""Longest wait for something that is due."""

STORE_AWAY_S = 0.5
"""What the store did not answer is looked at again so much later."""

PAUSES = Backoff(1.0, 60.0, growth=2**0.5, jitter=(0.8, 1.2))
"""Between two attempts."""


@dataclass(slots=True)
class Health:
    """Whether a webhook takes what it is posted; shared by its lines, so that a change is logged once."""

    name: str
    failure: str = ""

    def note(self, failure: str) -> None:
        """How a POST ended; empty where it was taken."""
        if failure:
            webhook_failures.count(self.name)
            if not self.failure:
                log.warning("webhook_failed", webhook=self.name, reason=failure)
        else:
            webhook_posts.count(self.name)
            if self.failure:
                log.info("webhook_answers_again", webhook=self.name)
        self.failure = failure


class Line:
    """Posts to one webhook, one request after the other."""

    def __init__(
        self,
        waiting: Waiting,
        due: asyncio.Event,
        reading: Reading,
        posting: Posting,
        health: Health,
        retry_s: float,
        pauses: Backoff = PAUSES,
    ) -> None:
        """`retry_s` is for how long a webhook may be away before messages are given up."""
        self._waiting = waiting
        self._due = due
        self._reading = reading
        self._posting = posting
        self._health = health
        self._retry_s = retry_s
        self._pauses = pauses
        self.is_busy = False

    async def run(self) -> None:
        """Woken when something is due; ended by cancellation."""
        while True:
            items = self._waiting.take(time.monotonic(), ITEMS_AT_ONCE)
            if not items:
                self._due.clear()
                await woken_within(self._due, self._waiting.due_in_s(time.monotonic(), IDLE_S))
                continue
            self.is_busy = True
            try:
                await self._tell(items)
            except StoreError as error:
                self._give_back(items, STORE_AWAY_S)
                # Redis may hold what is not here.
                self._waiting.overflowed.update(item.part for item in items)
                if not isinstance(error, StoreUnavailable):
                    log.error("webhook_state_refused", webhook=self._health.name, reason=str(error))
            finally:
                self.is_busy = False

    async def _tell(self, items: Sequence[Item]) -> None:
        """Until the webhook was told, or has been away for `retry_s`. Raises a StoreError."""
        failing_s, attempt = 0.0, 0
        while items:
            batch = await self._reading.batch(items)
            await self._settle(batch)
            items = [told.item for told in batch.told]
            if not batch.events():
                await self._store(batch)
                return
            self._health.note(failure := await self._posting.post(batch.events()))
            if not failure:
                await self._store(batch)
                return
            failing_s = failing_s or time.monotonic()
            if time.monotonic() - failing_s > self._retry_s:
                await self._give_up(items)
                return
            await asyncio.sleep(self._pauses.pause_s(attempt))
            attempt += 1

    async def _settle(self, batch: Batch) -> None:
        """Those of which there is nothing to tell, and those that have to wait for their turn."""
        now_s = time.monotonic()
        self._give_back(batch.left, 0.0)
        self._give_back(batch.unleased, STORE_AWAY_S)
        done = [
            told.item for told in batch.nothing if self._waiting.found_nothing(told.item, now_s, told.wait_s)
        ]
        await self._reading.done(done)

    async def _store(self, batch: Batch) -> None:
        """The webhook was told: stores it, and looks again for what came meanwhile."""
        stored = await asyncio.gather(*map(self._reading.store, batch.told))
        done = []
        for told, is_stored in zip(batch.told, stored, strict=True):
            if not is_stored:
                self._give_back([told.item], STORE_AWAY_S)
                continue
            if told.has_new_gap:
                webhook_gaps.count(self._health.name)
            if self._waiting.told(told.item, time.monotonic(), time.time(), told.has_more):
                done.append(told.item)
        await self._reading.done(done)

    async def _give_up(self, items: Sequence[Item]) -> None:
        log.warning("webhook_given_up", webhook=self._health.name, rooms=len(items), after_s=self._retry_s)
        for item in items:
            if await self._reading.give_up(item):
                webhook_gaps.count(self._health.name)
            self._waiting.give_back(item, time.monotonic() + self._pauses.most_s)

    def _give_back(self, items: Sequence[Item], in_s: float) -> None:
        for item in items:
            if item.is_busy:
                self._waiting.give_back(item, time.monotonic() + in_s)
