"""Joins and the garbage collector: it stops a worker, so nothing may be left to it."""

from __future__ import annotations

import asyncio
import gc

from tests.support.chat_worker import chat_worker

JOINS = 30


async def test_joins_leave_nothing_to_the_garbage_collector(redis_url: str, room: str) -> None:
    async with chat_worker(redis_url) as worker:
        await worker.connect().join(room, "first")
        clients = [worker.connect() for _ in range(JOINS)]
        gc.collect()
        gc.disable()
        try:
            await asyncio.gather(*(each.join(room, f"user{nr}") for nr, each in enumerate(clients)))
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            left = [each for each in gc.garbage if _is_ours(each)]
        finally:
            gc.set_debug(0)
            gc.enable()
            gc.garbage.clear()
        assert left == []


def _is_ours(found: object) -> bool:
    """Whether it is an object of the gateway's classes, or one of its functions."""
    module = getattr(found, "__module__", None) or type(found).__module__
    return isinstance(module, str) and module.startswith("gateway.")
