"""Commands of operators, as they are typed: each a process of its own, as a terminal starts it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

LIMIT_S = 20.0


class Typed(NamedTuple):
    """How a command ended, and what it wrote."""

    status: int
    output: str
    errors: str


def environment(redis_url: str, **more: str) -> dict[str, str]:
    """What a command is given: this Redis, and nothing of the test's own options."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    return {**kept, "REDIS_URL": redis_url, "PYTHONUNBUFFERED": "1", **more}


@asynccontextmanager
async def running(redis_url: str, *words: str, **more: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`gateway WORDS` while it runs; killed at the end, if it has not ended."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", *words, env=environment(redis_url, **more),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def typed(redis_url: str, *words: str, **more: str) -> Typed:
    """Runs `gateway WORDS` to its end."""
    async with running(redis_url, *words, **more) as process:
        output, errors = await asyncio.wait_for(process.communicate(), LIMIT_S)
        return Typed(process.returncode or 0, output.decode(), errors.decode())
