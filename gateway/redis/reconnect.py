"""A connection that is opened again whenever it breaks.

Owns one connection's life. Promises that `on_up` is called for each opened connection and `on_down` when it is gone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic

import structlog

from gateway.background import Background
from gateway.errors import StoreDenied, StoreRefused, StoreUnavailable
from gateway.metric_kinds import Counter
from gateway.pauses import Backoff, woken_within
from gateway.redis.address import AnyConnection

log = structlog.get_logger("gateway.store")

FULL_JITTER = (0.0, 1.0)
UNREACHABLE = Backoff(first_s=0.05, most_s=2.0, growth=1.5, jitter=FULL_JITTER)
"""While nothing answers. Growing by half: doubling would be at 2 s after one second of outage, and service would then
resume late after a short one."""
REFUSED = Backoff(first_s=0.05, most_s=10.0, growth=1.5, jitter=FULL_JITTER)
"""Where the server answers and refuses: a wrong password, or no right to what is needed. That passes only when somebody
changes it."""
STEADY_S = 1.0
"""A connection that lived longer was a good one: its successor is tried without backing off."""


class ReconnectingConnection(Generic[AnyConnection]):
    """Keeps one connection open until it is closed for good."""

    def __init__(
        self,
        name: str,
        connect: Callable[[Callable[[], None]], Awaitable[AnyConnection]],
        on_up: Callable[[AnyConnection], None],
        on_down: Callable[[], None],
        reconnects: Counter,
    ) -> None:
        """`connect` opens a connection and is given what to call when that is lost. `reconnects` counts those that are
        opened after the first."""
        self._reconnects = reconnects
        self._name = name
        self._connect: Callable[[Callable[[], None]], Awaitable[AnyConnection]] = connect
        self._on_up: Callable[[AnyConnection], None] = on_up
        self._on_down = on_down
        self._lost = asyncio.Event()
        self._background = Background(f"connection {name}")
        self._retry_now = asyncio.Event()
        self._was_open = False
        self.connection: AnyConnection | None = None
        self.failure: StoreUnavailable | None = None  # of the last attempt; None when that succeeded

    def start(self) -> None:
        """Begins to connect in the background."""
        self._background.keep(self._keep(), f"connection {self._name}")

    async def close(self) -> None:
        """Ends the connection for good."""
        await self._background.close()
        if self.connection is not None:
            self.connection.abort()

    def drop(self, reason: str) -> None:
        """Ends the present connection so that a new one is opened; without one, tries again at once."""
        self._retry_now.set()
        if self.connection is not None:
            log.warning("store_connection_dropped", connection=self._name, reason=reason)
            self.connection.abort()

    def retry_now(self) -> None:
        """The server answers somebody: without a connection, tries again at once."""
        if self.connection is None:
            self._retry_now.set()

    async def _keep(self) -> None:
        """Woken by the loss of the connection; ended by `close`. Backs off as `UNREACHABLE` and `REFUSED` say while
        nothing answers, or while connections break as soon as they are open."""
        attempt, refusal = 0, ""
        while True:
            self._lost = asyncio.Event()
            try:
                connection = await self._connect(self._lost.set)
            except StoreUnavailable as error:
                self.failure = error
                if attempt == 0:
                    log.warning("store_unreachable", connection=self._name, reason=str(error))
                is_refused = isinstance(error.__cause__, StoreRefused | StoreDenied)
                await self._pause((REFUSED if is_refused else UNREACHABLE).pause_s(attempt))
                attempt += 1
                continue
            opened_s = time.monotonic()
            self._reconnects.value += self._was_open
            self.connection, self.failure, self._was_open = connection, None, True
            if not refusal:
                log.info("store_connected", connection=self._name)
            self._on_up(connection)
            await self._lost.wait()
            self.connection = None
            if not refusal or refusal != connection.refusal:  # else nothing is new
                reason = connection.refusal or connection.ended_by or None
                log.warning("store_connection_lost", connection=self._name, reason=reason)
            refusal = connection.refusal
            self._on_down()
            attempt = 0 if time.monotonic() - opened_s > STEADY_S else attempt + 1
            await self._pause((REFUSED if refusal else UNREACHABLE).pause_s(attempt))

    async def _pause(self, pause_s: float) -> None:
        self._retry_now.clear()
        await woken_within(self._retry_now, pause_s)
