"""A worker stops without anybody noticing: it closes its sessions evenly over the drain time.

Owns the beginning of every stop, whoever wants it: SIGTERM, `--max-requests`, a master that is gone, Ctrl-C. They ask
here, and it happens once:

1. The worker is not ready any more, and no other worker passes it new handshakes.
2. Publishes in flight finish, and sessions are closed in batches. Clients see their transport close, so that stock ones
   come back by themselves, to a worker that is ready.
3. aiohttp waits for the requests that are left, and the exit stack of `app.py` undoes the rest.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

import orjson
import structlog

from gateway.background import Background
from gateway.protocol import Refusal, event_packet
from gateway.transport.server import EngineServer
from gateway.transport.socket import EngineSocket

log = structlog.get_logger("gateway.drain")

TICK_S = 0.1
"""Time between two batches: small next to any drain time, and long enough for answers under way to leave."""

GOODBYE = event_packet("error", orjson.dumps(Refusal("shutting_down").as_error()))


def batch_size(remaining: int, left_s: float, tick_s: float = TICK_S) -> int:
    """How many sessions to close now, so that `remaining` are gone in `left_s`: an even share, all when time is up."""
    if left_s <= tick_s:
        return remaining
    return math.ceil(remaining * tick_s / left_s)


class Drain:
    """One worker's stopping; runs once, whoever asks first."""

    def __init__(
        self, engine: EngineServer, on_begin: Callable[[], None], drain_s: float, at_least_s: float = 0.0
    ) -> None:
        """`on_begin` takes the worker out of the ready ones. For `at_least_s` it answers 503, sessions or not: a
        balancer that has not learnt that yet finds the port open."""
        self._engine = engine
        self._on_begin = on_begin
        self._drain_s = drain_s
        self._at_least_s = at_least_s
        self._background = Background("drain")
        self._running: asyncio.Task[None] | None = None
        self._is_quick = False

    def begin(self) -> asyncio.Task[None]:
        """Drains in the background; the task is done when the last session is closed."""
        if self._running is None:
            self._running = self._background.run(self._run(), "drain")
        return self._running

    async def run(self) -> None:
        """Drains; returns when the last session is closed. A caller that gives up does not stop it."""
        await asyncio.shield(self.begin())

    def hurry(self) -> None:
        """Nobody waits for an even share: what is left, or begins later, is closed at once."""
        self._is_quick = True

    async def _run(self) -> None:
        """Ended when no session is left. Each turn says good-bye to a batch and reads no more from it, and closes the
        batch of the turn before: what that had under way has been answered by then."""
        self._on_begin()
        begun_s = time.monotonic()
        end_s = begun_s + self._drain_s
        log.info("drain_began", sessions=len(self._engine.sockets), drain_s=self._drain_s)
        leaving: list[EngineSocket] = []
        while sockets := self._open_sockets():
            for socket in leaving:
                socket.end(self._engine.reason.TRANSPORT_CLOSE, packet=None, code=1001)
            left_s = 0.0 if self._is_quick else end_s - time.monotonic()
            staying = [socket for socket in sockets if not socket.closed]
            leaving = staying[: batch_size(len(staying), left_s)]
            for socket in leaving:
                _say_goodbye(socket)
            await asyncio.sleep(TICK_S if left_s > 0 else 0)
        while not self._is_quick and time.monotonic() < begun_s + self._at_least_s:
            await asyncio.sleep(TICK_S)
        log.info("drain_ended")

    def _open_sockets(self) -> list[EngineSocket]:
        return [socket for socket in self._engine.sockets.values() if not socket.closed]


def _say_goodbye(socket: EngineSocket) -> None:
    if socket.connects:
        socket.send_text(GOODBYE)
    socket.stop_reading()
