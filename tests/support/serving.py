"""A whole gateway inside the test's own process: the application, on a port from the kernel."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from gateway.settings import Settings


def settings(redis_url: str, **variables: str) -> Settings:
    """The settings of a gateway on a given Redis, without a drain time unless `variables` name one."""
    return Settings.from_environment({"REDIS_URL": redis_url, "GATEWAY_DRAIN_S": "0", **variables})


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[str]:
    """Runs the application; its URL."""
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
