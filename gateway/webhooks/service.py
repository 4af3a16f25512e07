"""All webhooks of one worker: hands marks over to them while it holds leases, and ends in good order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import structlog

from gateway.background import Background
from gateway.errors import StoreError, StoreUnavailable
from gateway.interfaces import CommandStore
from gateway.pauses import Backoff
from gateway.settings import Settings
from gateway.state.hook_progress import HookProgress
from gateway.state.hook_queue import MOVED_AT_ONCE, OCCUPIED, HookQueue, Mark, Move
from gateway.webhooks.delivery import Delivery
from gateway.webhooks.leases import Leases, LeaseTimes
from gateway.webhooks.line import PAUSES
from gateway.webhooks.marks import HookMarks, RoomsHere
from gateway.webhooks.webhook import Webhook

log = structlog.get_logger("gateway.webhooks")

LOOK_S, QUIET_LOOK_S = 0.1, 0.25
"""Time between two looks for marks, after one that found some, and after a while that did not."""

QUIET_AFTER = 50
"""Looks without a mark, until they become rarer."""

TURN_S = 1.0
"""Time between two settings of the metrics, and between two pieces of a sweep."""

SWEEP_S = 60.0
"""Time between two looks at the rooms in which somebody is, by what webhooks were told: whoever was to say that they
were left may have died."""

SWEPT_AT_ONCE = 100
LEAVE_WITHIN_S = 6.0
"""Longest wait, at the end, for what is in flight."""

START_PAUSES = Backoff(0.2, 5.0, jitter=(0.8, 1.2))


class Webhooks:
    """Listens to the leases (`LeaseEvents`)."""

    def __init__(
        self,
        store: CommandStore,
        worker: str,
        hooks: Sequence[Webhook],
        keep_s: int,
        retry_s: float,
        times: LeaseTimes | None = None,
        pauses: Backoff = PAUSES,
    ) -> None:
        """`keep_s` is how long it is kept how far each webhook was told: as long as the positions of rooms. `pauses`
        are between attempts to post."""
        self._queue = HookQueue(store, worker, [hook.name for hook in hooks])
        self.marks = HookMarks(self._queue, hooks) if hooks else None
        """Who must be told what happens on this worker; None where nobody wants to know."""
        self._leases = Leases(self._queue, self, times or LeaseTimes())
        progress = HookProgress(store, keep_s)
        self.deliveries = [
            Delivery(hook, self._queue, progress, self._leases, retry_s, pauses) for hook in hooks
        ]
        self._background = Background("webhooks")
        self._posting = Background("webhooks' posts")
        self._failure = ""  # of the store; logged when it changes
        self._is_leaving = False

    def start(self, rooms: RoomsHere) -> None:
        """Works in the background from now on. `rooms` are those of this worker."""
        if self.marks is None:
            return
        self._background.keep(self.marks.run(rooms), "marks for webhooks")
        self._background.run(self._work(), "webhooks")

    def on_restored(self) -> None:
        """Redis was away, or another server has taken over."""
        if self.marks is not None:
            self.marks.on_restored()

    # -- from the leases

    def on_lease_taken(self, part: int) -> None:
        for delivery in self.deliveries:
            delivery.waiting.overflowed.add(part)  # what is pending there is read next

    def on_lease_lost(self, part: int) -> None:
        for delivery in self.deliveries:
            delivery.waiting.drop(part)

    # -- loops

    async def _work(self) -> None:
        """Begins once the store says since when each webhook is known; then keeps leases and posts."""
        await self._learn_since()
        if self._is_leaving:
            return
        for delivery in self.deliveries:
            delivery.start(self._posting)
        self._posting.keep(self._leases.run(), "leases of webhooks")
        self._posting.keep(self._sweep(), "sweep of occupied rooms")
        self._posting.keep(self._turn(), "backlog of webhooks")
        self._posting.keep(self._hand_over(), "marks of webhooks")

    async def _learn_since(self) -> None:
        """Woken by pauses that grow to 5 s; ended by an answer."""
        attempt = 0
        while True:
            try:
                since_ms = await self._queue.known_since_ms()
                break
            except StoreError as error:
                self._note(error)
                await asyncio.sleep(START_PAUSES.pause_s(attempt))
                attempt += 1
        for delivery, at_ms in zip(self.deliveries, since_ms, strict=True):
            delivery.reading.since_ms = at_ms

    async def _hand_over(self) -> None:
        """Woken every `LOOK_S`, or `QUIET_LOOK_S`; ended by cancellation. What the store does not do is due again."""
        quiet = 0
        while True:
            found = 0
            try:
                found = await self._look()
            except StoreError as error:
                self._note(error)
            quiet = 0 if found else quiet + 1
            if found < MOVED_AT_ONCE:
                await asyncio.sleep(LOOK_S if quiet < QUIET_AFTER else QUIET_LOOK_S)

    async def _look(self) -> int:
        """Hands marks over to the webhooks that want to be told; returns how many the fullest sixteenth had."""
        parts = self._leases.parts
        found = await self._queue.marks(parts)
        await asyncio.gather(
            *(self._move(part, names) for part, names in zip(parts, found, strict=True) if names)
        )
        for delivery in self.deliveries:
            await delivery.refill()
        self._failure = ""
        return max(map(len, found), default=0)

    async def _move(self, part: int, names: Sequence[bytes]) -> None:
        """They are in memory before they are moved: what is told meanwhile is looked at again."""
        fence = self._leases.fence(part)
        if not fence:
            return
        moves = [self._wanted(name) for name in names]
        if not await self._queue.move(part, fence, moves):
            self._leases.on_fenced(part, 0)

    def _wanted(self, name: bytes) -> Move:
        mark, places = Mark.read(name), []
        for place, delivery in enumerate(self.deliveries if mark is not None else ()):
            if mark is not None and delivery.hook.wants(mark.kind, mark.room):
                delivery.waiting.add(mark, time.time(), time.monotonic())
                places.append(place)
        return Move(name, tuple(places))

    async def _turn(self) -> None:
        """Woken every second; ended by cancellation. What the store does not do is due again."""
        while True:
            await asyncio.sleep(TURN_S)
            try:
                for delivery in self.deliveries:
                    await delivery.measure()
            except StoreError as error:
                self._note(error)

    async def _sweep(self) -> None:
        """Woken every `SWEEP_S`; ended by cancellation. Marks rooms that webhooks were told somebody is in."""
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                for part in self._leases.parts:
                    await self._sweep_part(part)
            except StoreError as error:
                self._note(error)

    async def _sweep_part(self, part: int) -> None:
        cursor = b"0"
        while True:
            cursor, rooms = await self._queue.occupied(part, cursor, SWEPT_AT_ONCE)
            await self._queue.mark_all([Mark(OCCUPIED, room) for room in rooms])
            if cursor == b"0":
                return
            await asyncio.sleep(TURN_S)

    def _note(self, error: StoreError) -> None:
        """The store itself says when it is away."""
        if str(error) != self._failure and not isinstance(error, StoreUnavailable):
            log.error("hooks_store_refused", reason=str(error))
        self._failure = str(error)

    # -- the end

    async def leave(self) -> None:
        """Others post from now on: nothing new is begun, and what is in flight ends first. Marks go on being left."""
        if self._is_leaving or self.marks is None:
            return
        self._is_leaving = True
        self._leases.retire()
        until_s = time.monotonic() + LEAVE_WITHIN_S
        while time.monotonic() < until_s and not all(delivery.is_idle for delivery in self.deliveries):
            await asyncio.sleep(LOOK_S)
        await self._posting.close()
        try:
            await self._leases.leave()
        except StoreError as error:
            log.warning("hook_leases_not_given_back", reason=str(error))

    async def close(self) -> None:
        """Ends everything."""
        await self.leave()
        await self._background.close()
        for delivery in self.deliveries:
            await delivery.close()


def webhooks_of(hooks: Sequence[Webhook], store: CommandStore, worker: str, settings: Settings) -> Webhooks:
    """What posts to these webhooks, as the options say."""
    return Webhooks(store, worker, hooks, settings.publish.position_ttl_s, settings.webhooks.retry_s)
