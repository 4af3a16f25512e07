"""What the tests of the store share: a link to the run's Redis, and a client to look behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import redis.asyncio as redis

from gateway.state.endpoints import FixedFinder, endpoint_of
from gateway.state.store import PrimaryStore
from tests.system.faults.servers import Valkey
from tests.system.faults.topologies import standalone


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[PrimaryStore]:
    """A connected store."""
    store = PrimaryStore(FixedFinder(endpoint_of(redis_url)), "test-state", 2.0, 5.0)
    await store.start(10)
    yield store
    await store.close()


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[redis.Redis]:
    """redis-py, to look at what the store holds."""
    client = redis.Redis.from_url(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def server() -> AsyncIterator[Valkey]:
    """A server of the test's own, to be frozen and killed."""
    async with standalone("none") as server:
        yield server
