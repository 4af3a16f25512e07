"""Commands to a Redis, connected, as the tests of what stands on them need it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.redis.address import FixedFinder, endpoint_of
from gateway.redis.commands import PrimaryCommands
from gateway.redis.connection import CommandOptions
from gateway.redis.server_watch import ServerWatch
from tests.support.redis_limits import LIMITS

START_S = 10.0


@asynccontextmanager
async def connected_store(redis_url: str, limits: CommandOptions = LIMITS) -> AsyncIterator[PrimaryCommands]:
    """A store with a connection, closed at the end."""
    store = PrimaryCommands(FixedFinder(endpoint_of(redis_url)), ServerWatch(), "test-store", limits)
    try:
        await store.start(START_S)
        yield store
    finally:
        await store.close()
