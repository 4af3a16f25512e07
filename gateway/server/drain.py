"""Leaving without anybody noticing: a worker that stops closes its sessions evenly over the drain time.

Owns the order of stopping: not ready, publishes in flight finish, sessions are closed in batches. Clients see their
transport close, so that stock ones come back by themselves, to a worker that is ready.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

import orjson
import structlog

from gateway.protocol import Refusal, event_packet
from gateway.transport.server import EngineServer
from gateway.transport.socket import EngineSocket

log = structlog.get_logger("gateway.drain")

TICK_S = 0.1

GOODBYE = event_packet("error", orjson.dumps(Refusal("shutting_down").as_error()))


def batch_size(remaining: int, left_s: float, tick_s: float = TICK_S) -> int:
    """How many sessions to close now, so that `remaining` are gone in `left_s`: an even share, all when time is up."""
    if left_s <= tick_s:
        return remaining
    return math.ceil(remaining * tick_s / left_s)


class Drain:
    """One worker's stopping; runs once, whoever asks first."""

    def __init__(self, engine: EngineServer, on_begin: Callable[[], None], drain_s: float) -> None:
        """`on_begin` takes the worker out of the ready ones."""
        self._engine = engine
        self._on_begin = on_begin
        self._drain_s = drain_s
        self._running: asyncio.Task[None] | None = None
        self.is_quick = False

    async def run(self) -> None:
        """Drains; returns when the last session is closed. With `is_quick` set, at once."""
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        await asyncio.shield(self._running)

    async def _run(self) -> None:
        """Ended when no session is left. Each turn says good-bye to a batch and reads no more from it, and closes the
        batch of the turn before: what that had under way has been answered by then."""
        self._on_begin()
        end_s = time.monotonic() + self._drain_s
        log.info("drain_began", sessions=len(self._engine.sockets), drain_s=self._drain_s)
        leaving: list[EngineSocket] = []
        while sockets := [socket for socket in self._engine.sockets.values() if not socket.closed]:
            for socket in leaving:
                socket.end(self._engine.reason.TRANSPORT_CLOSE, packet=None, code=1001)
            left_s = 0.0 if self.is_quick else end_s - time.monotonic()
            staying = [socket for socket in sockets if not socket.closed]
            leaving = staying[: batch_size(len(staying), left_s)]
            for socket in leaving:
                if socket.connects:
                    socket.send_text(GOODBYE)
                socket.stop_reading()
            await asyncio.sleep(TICK_S if left_s > 0 else 0)
        log.info("drain_ended")
