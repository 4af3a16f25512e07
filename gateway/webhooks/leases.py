"""Which sixteenths of the rooms this worker posts for.

The workers that can post share the leases evenly. One that dies or hangs keeps its own until they end; one that drains
gives them back at once. A holder posts nothing that could still be under way when its lease ends.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

import structlog

from gateway.errors import StoreError, StoreUnavailable
from gateway.state.hook_queue import PARTS, HookQueue

log = structlog.get_logger("gateway.webhooks")


class LeaseTimes(NamedTuple):
    """lease_s  how long a lease lasts without being kept
    beat_s   how often it is kept
    sure_s   a lease that ends sooner is used no more: longer than a POST takes
    """

    lease_s: float = 15.0
    beat_s: float = 3.0
    sure_s: float = 6.0


class LeaseEvents(Protocol):
    """Who works under the leases."""

    def on_lease_taken(self, part: int) -> None:
        """This worker posts for that sixteenth from now on."""

    def on_lease_lost(self, part: int) -> None:
        """It does so no more."""


class Lease(NamedTuple):
    """What a holder writes bears its `fence`; the lease ends at `until_s` (monotonic) or later."""

    fence: int
    until_s: float


class Leases:
    """The leases of one worker."""

    def __init__(
        self,
        queue: HookQueue,
        events: LeaseEvents,
        times: LeaseTimes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue = queue
        self._events = events
        self._times = times
        self._clock = clock
        self._held: dict[int, Lease] = {}
        self._above: dict[int, int] = {}  # fences that somebody has written under, higher than ours
        self._failure = ""  # of the last turn; logged when it changes
        self._is_retired = False

    @property
    def parts(self) -> list[int]:
        """The sixteenths that this worker surely posts for."""
        return [part for part in self._held if self.fence(part)]

    def fence(self, part: int) -> int:
        """The fence of a lease that lasts long enough; 0 if there is none."""
        lease = self._held.get(part)
        if lease is None or self._is_retired or lease.until_s - self._clock() < self._times.sure_s:
            return 0
        return lease.fence

    def on_fenced(self, part: int, fence: int) -> None:
        """Something bears a higher fence: another worker holds the lease, or the store has lost which fences there
        were. The next turn finds out, and gets a higher one in the second case."""
        self._above[part] = max(fence, self._above.get(part, 0))

    async def run(self) -> None:
        """Woken every `beat_s`; ended by cancellation. What the store does not do is due again with the next turn."""
        while True:
            before = set(self._held)
            try:
                await self.turn()
                self._failure = ""
            except StoreError as error:
                self._note_failure(error)
            self._drop_ended()
            if before != set(self._held):
                log.info("hook_leases_changed", held=len(self._held))
            await asyncio.sleep(self._times.beat_s)

    async def turn(self) -> None:
        """Keeps what is held, up to a fair share, and takes what nobody holds. Raises a StoreError."""
        workers = await self._queue.workers(math.ceil(self._times.lease_s))
        share = math.ceil(PARTS / max(1, workers))
        for place, part in enumerate(list(self._held)):
            if place < share:
                await self._keep(part)
            else:
                await self._give_back(part)
        for part in range(PARTS):
            if len(self._held) >= share:
                return
            if part not in self._held:
                await self._keep(part)

    async def _keep(self, part: int) -> None:
        """Keeps a lease, or takes it if nobody holds it."""
        asked_s = self._clock()
        fence = await self._queue.lease(part, self._times.lease_s, self._above.pop(part, 0))
        before = self._held.get(part)
        if not fence:
            self._lose(part)
            return
        self._held[part] = Lease(fence, asked_s + self._times.lease_s)
        if before is None or before.fence != fence:
            self._events.on_lease_taken(part)

    async def _give_back(self, part: int) -> None:
        self._lose(part)
        await self._queue.give_back(part)

    def retire(self) -> None:
        """Nothing new is begun under any lease; they stay this worker's until `leave`."""
        self._is_retired = True

    async def leave(self) -> None:
        """Gives everything back, so that others go on at once. Raises a StoreError."""
        await self._queue.workers(math.ceil(self._times.lease_s), goes=True)
        for part in list(self._held):
            await self._give_back(part)

    def _drop_ended(self) -> None:
        for part, lease in list(self._held.items()):
            if lease.until_s < self._clock():
                self._lose(part)

    def _lose(self, part: int) -> None:
        if self._held.pop(part, None) is not None:
            self._events.on_lease_lost(part)

    def _note_failure(self, error: StoreError) -> None:
        if str(error) != self._failure and not isinstance(error, StoreUnavailable):
            log.error("hook_leases_refused", reason=str(error))
        self._failure = str(error)
