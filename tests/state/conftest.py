"""What the tests of the store share: a link to the run's Redis, and a client to look behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import redis.asyncio as redis

from gateway.redis.address import FixedFinder, endpoint_of
from gateway.redis.commands import PrimaryCommands
from gateway.redis.server_watch import ServerWatch
from tests.support.redis_limits import LIMITS


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[PrimaryCommands]:
    """A connected store."""
    store = PrimaryCommands(FixedFinder(endpoint_of(redis_url)), ServerWatch(), "test-state", LIMITS)
    await store.start(10)
    yield store
    await store.close()


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[redis.Redis]:
    """redis-py, to look at what the store holds."""
    client = redis.Redis.from_url(redis_url)
    yield client
    await client.aclose()
