"""What the conformance tests share: a client session per test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.system.conformance.wire import LIMIT_S


@pytest.fixture
async def web() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client of the test's own; no request takes longer than `LIMIT_S`."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        connector=connector, timeout=aiohttp.ClientTimeout(total=LIMIT_S)
    ) as session:
        yield session
