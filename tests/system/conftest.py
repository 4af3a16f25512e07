"""What the system tests share: gateways that many tests may use, because none of them breaks them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import redis.asyncio

from tests.support.clients import Member
from tests.support.gateways import Gateway
from tests.support.opener import Opener
from tests.support.stock_clients import install_javascript_client


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks all that is in this folder as `system`."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.system)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def gateway(redis_url: str) -> AsyncIterator[Gateway]:
    """Four workers on one port, grace period one second. Tests that break a gateway start their own."""
    async with Gateway(redis_url, workers=4, GATEWAY_GRACE_S="1") as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_gateway(redis_url: str) -> AsyncIterator[Gateway]:
    """The same with GATEWAY_ROUTE=shared."""
    async with Gateway(redis_url, workers=4, GATEWAY_GRACE_S="1", GATEWAY_ROUTE="shared") as running:
        yield running


@pytest.fixture(params=["gateway", "shared_gateway"])
def routed(request: pytest.FixtureRequest) -> Gateway:
    """A gateway by each route: what is true by one must be true by the other."""
    chosen: Gateway = request.getfixturevalue(request.param)
    return chosen


@pytest_asyncio.fixture
async def store(redis_url: str) -> AsyncIterator[Any]:
    """A client of the shared Redis."""
    async with redis.asyncio.from_url(redis_url) as client:
        yield client


@pytest_asyncio.fixture
async def connect() -> AsyncIterator[Opener]:
    """Opens members as `Member.connect` does, and closes them when the test is over."""
    opened: list[Member] = []

    async def open_member(url: str, transport: Any = "websocket", **more: Any) -> Member:
        member = await Member.connect(url, transport, **more)
        opened.append(member)
        return member

    yield open_member
    for member in opened:
        await member.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Any]:
    """Chromium, started once; a `tests.support.browsers.Browser`. Whoever uses it uses `pages_are_closed`, too."""
    from tests.support.browsers import chromium  # not everybody has Playwright

    async with chromium() as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def pages_are_closed(browser: Any) -> AsyncIterator[None]:
    """Each test has the browser to itself."""
    yield
    for context in browser.contexts:
        await context.close()


@pytest.fixture(scope="session")
def javascript() -> None:
    """Sees to it that the stock JavaScript client is installed."""
    install_javascript_client()
