"""Heartbeats, clean-up after dead workers, and coming back after being presumed dead."""

from __future__ import annotations

import asyncio
import time
import uuid

from gateway.chat.options import PresenceOptions
from gateway.chat.reaper import Reaper
from tests.support.chat_worker import ChatWorker, chat_worker
from tests.support.waiting import HeldUp, in_time, tried_again, until

DEAD_S = 1.0
SELDOM = PresenceOptions(system_name="ChatBot", notices_users_max=3, grace_s=0.3, heartbeat_s=60)


@tried_again(HeldUp)
async def test_the_sessions_of_a_dead_worker_are_cleaned_up_once_by_those_who_live(redis_url: str) -> None:
    room = f"room-{uuid.uuid4().hex}"
    async with chat_worker(redis_url) as here, chat_worker(redis_url) as also, chat_worker(redis_url) as dead:
        ann, ben, cy = here.connect(), dead.connect(), dead.connect()
        await ann.join(room)
        await ben.join(room, "ben")
        await cy.join(room, "ann")
        beaten_at = time.monotonic()
        await here.workers.beat()
        await also.workers.beat()
        await dead.workers.depart(0.0)
        living = [asyncio.create_task(one.reaper.run()) for one in (here, also)]
        await until(lambda: "ben has left the room" in ann.notices(), what="the clean-up")
        for task in living:
            task.cancel()
        await asyncio.gather(*living, return_exceptions=True)
        in_time(beaten_at, DEAD_S)  # after that they might have taken each other for dead
        assert ann.notices() == ["ben has joined the room", "ben has left the room"]
        assert await here.users(room) == ["ann"]
        assert dead.name not in await here.workers.dead()


async def test_a_worker_taken_for_dead_puts_its_sessions_back_at_its_next_heartbeat(
    redis_url: str, room: str
) -> None:
    async with chat_worker(redis_url) as worker, chat_worker(redis_url) as other:
        ann = worker.connect()
        await ann.join(room)
        beating = asyncio.create_task(worker.reaper.run())
        await until(worker.has_beaten, what="the first heartbeat")
        await other.presence.sweep(room, worker.name)
        await other.workers.forget(worker.name)

        async def is_back() -> bool:
            return await other.users(room) == ["ann"] and await other.workers.rooms_of(worker.name) == [room]

        await until(is_back, what="the session is back")
        assert ann.notices() == []
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)


async def test_when_the_store_is_back_the_next_heartbeat_does_not_wait(worker: ChatWorker) -> None:
    reaper = Reaper(worker.presence, worker.workers, worker.notices, worker.tracker, SELDOM)
    beating = asyncio.create_task(reaper.run())
    await until(worker.has_beaten, what="the first heartbeat")
    await worker.workers.forget(worker.name)
    reaper.beat_soon()
    await until(worker.has_beaten, what="a heartbeat long before it is due")
    beating.cancel()
    await asyncio.gather(beating, return_exceptions=True)
