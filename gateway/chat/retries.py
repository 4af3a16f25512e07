"""Work that must reach the store and that nobody waits for.

Owns the tasks that do it. While the store is away, an attempt is made again, at longer and longer intervals. What the
store refuses cannot pass, so it is logged once and given up.

Promises that few attempts are under way at once. Example: a balancer is restarted, and 100 clients with 100 rooms each
are gone. Sent at once, those 10,000 scripts kept Redis and the worker busy: others waited up to a second for the answer
to a message. So a message waits behind `AT_ONCE` of them at most.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from itertools import count

import structlog

from gateway.background import Background
from gateway.errors import StoreError, StoreUnavailable
from gateway.pauses import Backoff

log = structlog.get_logger("gateway.chat")

PAUSES = Backoff(first_s=1.0, most_s=10.0, jitter=(0.8, 1.2))
"""A failover takes a few seconds, so more attempts would be in vain. Presence is promised to be right 30 s after a
crash. The sessions of a worker must not all try in one moment."""


STARTED_AT_ONCE = 16
"""Jobs that begin in one turn of the event loop: less than a millisecond."""

AT_ONCE = 64
"""Attempts of one worker that Redis has at once: about 2 ms of scripts. With a round trip of 3 ms that is 20,000 a
second."""


class Retries:
    """The tasks of one owner; ended by `close`."""

    def __init__(self) -> None:
        self._background = Background("presence")
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._waiting: deque[Coroutine[None, None, None]] = deque()  # jobs that have not begun

    def start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Runs `work` in the background. A failure of ours is logged."""
        return self._background.run(work, "presence of a session")

    def start_soon(self, work: Coroutine[None, None, None]) -> None:
        """The same where many may come at once: it begins in this turn of the event loop or a later one, in order."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._start_some)
        self._waiting.append(work)

    def _start_some(self) -> None:
        for _ in range(min(STARTED_AT_ONCE, len(self._waiting))):
            self.start(self._waiting.popleft())
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._start_some)

    async def until_stored(
        self, attempt: Callable[[], Awaitable[object]], what: str, **about: str | int
    ) -> None:
        """As the function of that name; each attempt waits for its turn, in the order in which they came. One that
        pauses keeps nobody from theirs."""

        async def in_turn() -> None:
            async with self._turns:
                await attempt()

        await until_stored(in_turn, what, **about)

    async def close(self) -> None:
        """Cancels the tasks and waits for their end; what has not begun never does."""
        while self._waiting:
            self._waiting.popleft().close()
        await self._background.close()


async def until_stored(attempt: Callable[[], Awaitable[object]], what: str, **about: str | int) -> None:
    """Awaits `attempt()` until the store has done it or has refused it.

    Ended by either, or by cancellation. Backs off by `PAUSES`. `what` and `about` are for the log.
    """
    for number in count():
        try:
            await attempt()
            return
        except StoreUnavailable:
            await asyncio.sleep(PAUSES.pause_s(number))
        except StoreError as error:
            note_refused(what, error, **about)
            return


def note_refused(what: str, error: StoreError, **about: str | int) -> None:
    """Logs what the store refused and is given up."""
    log.error("presence_not_stored", what=what, reason=str(error), **about)
