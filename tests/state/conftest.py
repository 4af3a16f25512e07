"""What the tests of the store share: a client to look behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import redis.asyncio as redis


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[redis.Redis]:
    """redis-py, to look at what the store holds."""
    client = redis.Redis.from_url(redis_url)
    yield client
    await client.aclose()
