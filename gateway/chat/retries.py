"""Work that must reach the store and that nobody waits for.

Owns the tasks that do it. While the store is away, an attempt is made again, at longer and longer intervals. What the
store refuses cannot pass, so it is logged once and given up.
"""

from __future__ import annotations

import asyncio
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
