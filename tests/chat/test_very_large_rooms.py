"""A worker with 4,000 members of one room is killed: the others clean up after it, and Redis keeps nobody waiting."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway import keys
from gateway.chat.reaper import Reaper
from gateway.option_groups import PresenceOptions
from tests.support.chat_worker import ChatWorker, chat_worker
from tests.support.servers import Valkey
from tests.support.waiting import until

pytestmark = pytest.mark.system  # a server of its own

MEMBERS = 4_000
LONGEST_US = 10_000


async def as_if_killed(worker: ChatWorker, room: str) -> None:
    """What is left of a worker that can say nothing more."""
    members: list[str] = []
    users: list[str] = []
    for number in range(MEMBERS):
        members += [f"dead-{number:05}", json.dumps({"username": f"user-{number}", "since": 1})]
        users += [f"user-{number}", "1"]
    key = keys.members(room, "dead")
    await worker.store.call(key, "HSET", key, *members)
    await worker.store.call(keys.users(room), "HSET", keys.users(room), *users)
    await worker.store.call(keys.worker_rooms("dead"), "SADD", keys.worker_rooms("dead"), room)
    await worker.store.call(keys.WORKERS, "ZADD", keys.WORKERS, "-1", "dead")


async def test_nobody_waits_for_the_clean_up_after_4000_members(server: Valkey, room: str) -> None:
    options = PresenceOptions(system_name="ChatBot", notices_users_max=200, grace_s=0.3, heartbeat_s=0.2)
    async with chat_worker(server.url, timeout_s=10.0) as worker:
        ann = worker.connect()
        await ann.join(room, "ann")
        await as_if_killed(worker, room)
        await server.ask("CONFIG", "SET", "slowlog-log-slower-than", LONGEST_US)
        await server.ask("CONFIG", "RESETSTAT")
        await server.ask("SLOWLOG", "RESET")
        reaper = Reaper(worker.presence, worker.workers, worker.notices, worker.tracker, options)
        cleaning = asyncio.create_task(reaper.run())
        try:

            async def is_clean() -> bool:
                return await server.ask("ZSCORE", keys.WORKERS, "dead") is None

            await until(is_clean, 30.0, "the clean-up")
        finally:
            cleaning.cancel()
            await asyncio.gather(cleaning, return_exceptions=True)
        assert await worker.users(room) == ["ann"]
        scripts = (await server.ask("INFO", "commandstats"))["cmdstat_evalsha"]
        print(f"{MEMBERS} sessions: {scripts['calls']} scripts, {scripts['usec_per_call']} us each")
        assert scripts["calls"] >= MEMBERS // 100, "a script takes 100 out"
        slow = await server.ask("SLOWLOG", "LEN")
        assert slow <= scripts["calls"] // 5, "a busy machine may hold some up: others had the core meanwhile"
