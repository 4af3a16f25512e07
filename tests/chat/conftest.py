"""What the tests of the chat share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.chat_worker import ChatWorker, chat_worker


@pytest.fixture
async def worker(redis_url: str) -> AsyncIterator[ChatWorker]:
    """A worker on the run's Redis, with the usual grace period; it has patience with a slow machine."""
    async with chat_worker(redis_url, timeout_s=10.0) as worker:
        yield worker
