"""Rooms as the scripts store them, for tests of what reads them for webhooks; and leases that nobody holds."""

from __future__ import annotations

import json

import redis.asyncio as redis

from gateway import keys
from gateway.state.hook_queue import PARTS


async def say(client: redis.Redis, room: str, *texts: str, epoch: str = "a", first: int = 1) -> None:
    """Messages as the publish script stores them; their times are now."""
    seconds, microseconds = await client.time()
    at_ms = seconds * 1000 + microseconds // 1000
    for seq, text in enumerate(texts, first):
        entry = {"message": text, "username": "ann", "__createdtime__": at_ms}
        await client.rpush(keys.history(room), json.dumps(entry, separators=(",", ":")))
        await client.hset(keys.meta(room), mapping={"epoch": epoch, "seq": seq, "last": at_ms})


async def free_leases(client: redis.Redis) -> None:
    """Nobody holds a lease, whoever did before."""
    for part in range(PARTS):
        await client.delete(keys.hook_lease(part), keys.hook_marks(part), keys.hook_occupied(part))
    await client.delete(keys.HOOK_WORKERS)
