"""Work that must reach the store and that nobody waits for.

Owns the tasks that do it. While the store is away, an attempt is made again, at longer and longer intervals. What the
store refuses cannot pass, so it is logged once and given up.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine

import structlog

from gateway.background import Background
from gateway.errors import StoreError, StoreUnavailable

log = structlog.get_logger("gateway.chat")

FIRST_PAUSE_S = 1.0
"""Pause after the first attempt that failed: a failover takes a few seconds, so more attempts would be in vain."""

LONGEST_PAUSE_S = 10.0
"""Each pause is twice the one before, up to this: presence is promised to be right 30 s after a crash."""

JITTER = 0.2
"""Each pause is up to a fifth shorter or longer, so that the sessions of a worker do not all try in one moment."""


class Retries:
    """The tasks of one owner; ended by `close`."""

    def __init__(self) -> None:
        self._background = Background("presence")

    def start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Runs `work` in the background. A failure of ours is logged."""
        return self._background.run(work, "presence of a session")

    async def close(self) -> None:
        """Cancels the tasks and waits for their end."""
        await self._background.close()


async def until_stored(attempt: Callable[[], Awaitable[object]], what: str, **about: str | int) -> None:
    """Awaits `attempt()` until the store has done it or has refused it.

    Ended by either, or by cancellation. Backs off from `FIRST_PAUSE_S` to `LONGEST_PAUSE_S`. `what` and `about` are
    for the log.
    """
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            await attempt()
            return
        except StoreUnavailable:
            await asyncio.sleep(pause_s * random.uniform(1 - JITTER, 1 + JITTER))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        except StoreError as error:
            note_refused(what, error, **about)
            return


def note_refused(what: str, error: StoreError, **about: str | int) -> None:
    """Logs what the store refused and is given up."""
    log.error("presence_not_stored", what=what, reason=str(error), **about)
