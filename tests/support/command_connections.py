"""One connection for commands, opened for a test and closed after it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.redis.address import endpoint_of, open_connection
from gateway.redis.connection import CommandConnection, CommandOptions
from tests.support.scripts import KNOWN
from tests.support.waiting import until

TIMEOUT_S, UNRESPONSIVE_S = 1.0, 1.8


class Life:
    """How often the connection was lost."""

    lost = 0

    def on_lost(self) -> None:
        self.lost += 1


@asynccontextmanager
async def opened(
    url: str, life: Life | None = None, timeout_s: float = TIMEOUT_S
) -> AsyncIterator[CommandConnection]:
    """A connection that knows the scripts and has nothing under way."""
    life = life or Life()
    limits = CommandOptions(timeout_s=timeout_s, unresponsive_s=UNRESPONSIVE_S, scripts=KNOWN)
    connection = await open_connection(
        endpoint_of(url), lambda: CommandConnection(life.on_lost, limits), "test"
    )
    connection.load_scripts()
    await connection.call("PING")
    try:
        yield connection
    finally:
        connection.abort()
        await until(lambda: not connection.is_open, 2, "the connection is closed")
