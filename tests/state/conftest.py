"""What the tests of the store share: a client to look behind it, and a server of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import redis.asyncio as redis

from gateway.redis.commands import PrimaryCommands
from tests.support.servers import Valkey
from tests.support.stores import connected_store


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[redis.Redis]:
    """redis-py, to look at what the store holds."""
    client = redis.Redis.from_url(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def own(server: Valkey) -> AsyncIterator[tuple[PrimaryCommands, redis.Redis]]:
    """A server that nobody else makes slow."""
    client = redis.Redis.from_url(server.url)
    async with connected_store(server.url) as store:
        yield store, client
    await client.aclose()
