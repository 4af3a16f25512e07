"""Looks again and again whether this worker is of use, and says so in the log when that changes.

Owns when Redis is asked for a write (`state/write_check.py`), and what the log says of readiness: once when it
changes, and at growing intervals while the worker is not ready. What counts is in `health.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from gateway.builds import build_name
from gateway.pauses import Backoff, woken_within
from gateway.redis.troubles import trouble_of
from gateway.server.health import UNTRIED, Health
from gateway.state.write_check import WriteCheck

log = structlog.get_logger("gateway.server")

AGAIN_FIRST_S = 0.5
"""A worker that is not ready looks again so soon, then after twice as long each time, up to the usual interval."""
REMIND_FIRST_S, REMIND_MOST_S = 10.0, 600.0
"""The log is reminded after so long that a worker is not ready, then after twice as long each time."""


async def look_at_writes(health: Health, writes: WriteCheck) -> None:
    """Asks for the writes where Redis can be reached, and notes the answer."""
    trouble = health.store_trouble
    if trouble is None:
        failure = await writes.failure()
        health.writes = trouble_of(failure) if failure is not None else None
    elif not trouble.is_brief:
        health.writes = UNTRIED  # it cannot be reached: what it refused before is over


class Readiness:
    """One worker's looks at Redis."""

    def __init__(
        self,
        health: Health,
        writes: WriteCheck,
        interval_s: float,
        on_first_ready: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._health = health
        self._writes = writes
        self._interval_s = interval_s
        self._on_first_ready = on_first_ready
        self._clock = clock
        self._look_now = asyncio.Event()
        self._was_ready: bool | None = None  # None before the first look
        self._has_been_ready = False
        self._said: set[str] = set()  # reasons that the log has, since it last was ready
        self._since_s = clock()  # when it was ready last, or was started
        self._remind_s = REMIND_FIRST_S  # time from `_since_s` to the next reminder

    async def look(self) -> None:
        """Asks for the writes, and tells the log what is new."""
        await look_at_writes(self._health, self._writes)
        self._tell()

    def look_soon(self) -> None:
        """Redis is back: whether it takes writes is known at once, not at the next turn."""
        self._look_now.set()

    async def run(self) -> None:
        """Woken every `interval_s`, sooner while not ready, and by `look_soon`; ended by cancellation."""
        sooner, looks = Backoff(AGAIN_FIRST_S, self._interval_s), 0  # looks in a row that found it not ready
        while True:
            await woken_within(self._look_now, self._interval_s if self._was_ready else sooner.pause_s(looks))
            self._look_now.clear()
            looks = 0 if self._was_ready else looks + 1
            await self.look()

    def _tell(self) -> None:
        if self._health.is_draining:
            return
        if not self._health.reasons():
            self._tell_ready()
        elif self._is_news():
            self._tell_not_ready()

    def _tell_ready(self) -> None:
        if not self._was_ready:
            log.info("worker_ready", worker=self._health.worker, build=build_name())
        if not self._has_been_ready:
            self._has_been_ready = True
            self._on_first_ready()
        self._was_ready = True
        self._said.clear()
        self._since_s, self._remind_s = self._clock(), REMIND_FIRST_S

    def _is_news(self) -> bool:
        """Whether a reason is new since the worker was ready, or a reminder is due."""
        self._was_ready = False
        is_due = self._clock() - self._since_s >= self._remind_s
        if is_due:
            self._remind_s = min(2 * self._remind_s, self._remind_s + REMIND_MOST_S)
        return is_due or not self._said.issuperset(self._health.reasons())

    def _tell_not_ready(self) -> None:
        troubles = self._health.troubles()
        self._said.update(trouble.sentence for trouble in troubles)
        log.warning(
            "worker_not_ready",
            why="; ".join(trouble.sentence for trouble in troubles),
            what_helps="; ".join(dict.fromkeys(filter(None, (trouble.advice for trouble in troubles)))),
            for_s=round(self._clock() - self._since_s),
            worker=self._health.worker,
        )
