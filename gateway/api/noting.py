"""Each worker notes its state for `stats`, so that any worker can tell of all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.errors import StoreError
from gateway.state.census import Census, WorkerState


class Noting:
    """The note of one worker."""

    def __init__(self, census: Census, worker: str, state: Callable[[], WorkerState], every_s: float) -> None:
        self._census = census
        self._worker = worker
        self._state = state
        self._every_s = every_s

    async def run(self) -> None:
        """Woken every `every_s`, as the heartbeat is; ended by cancellation. What Redis does not take is noted the next
        time: it is away, and that is logged by who owns the connection."""
        while True:
            try:
                await self._census.note(self._worker, self._state())
            except StoreError:
                pass
            await asyncio.sleep(self._every_s)
