"""Heartbeats, clean-up after dead workers, and coming back after being presumed dead."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from structlog.testing import capture_logs

from gateway import keys
from gateway.chat.reaper import SETTLE_S, Reaper, heartbeats_after_refusals
from gateway.option_groups import PresenceOptions
from gateway.state.presence import Presence
from gateway.state.workers import Beat, Workers
from tests.support.chat_worker import ChatWorker, chat_worker
from tests.support.servers import Valkey
from tests.support.waiting import HeldUp, in_time, stays, tried_again, until

DEAD_S = 1.0
SELDOM = PresenceOptions(system_name="ChatBot", notices_users_max=3, grace_s=0.3, heartbeat_s=60)
MANY = 20_000
"""Rooms that take a clean-up far longer than the 0.2 s of a heartbeat here."""


class DeadWorker:
    """A worker that has sessions in rooms, and then no heartbeat any more; all by what it leaves in the store."""

    def __init__(self, living: ChatWorker, name: str) -> None:
        self.name = f"dead-{name}"
        self._presence = Presence(living.store, self.name)
        self._workers = Workers(living.store, self.name, DEAD_S)
        self._living = living

    async def joins(self, room: str, username: str) -> None:
        await self._workers.enter([room])
        await self._presence.join(room, uuid.uuid4().hex, username)

    async def dies(self) -> None:
        await self._workers.depart(0.0)

    async def is_forgotten(self) -> bool:
        return await self._living.store.call(keys.WORKERS, "ZSCORE", keys.WORKERS, self.name) is None


@asynccontextmanager
async def beating(reaper: Reaper) -> AsyncIterator[None]:
    """The reaper runs."""
    task = asyncio.create_task(reaper.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


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

        async def is_forgotten() -> bool:
            return dead.name not in {one.name for one in await here.workers.dead()}

        async with beating(here.reaper), beating(also.reaper):
            await until(lambda: "ben has left the room" in ann.notices(), what="the clean-up")
            await until(is_forgotten, what="the end of the clean-up")
        in_time(beaten_at, DEAD_S)  # after that they might have taken each other for dead
        assert ann.notices() == ["ben has joined the room", "ben has left the room"]
        assert await here.users(room) == ["ann"]
        assert dead.name not in {one.name for one in await here.workers.dead()}


async def test_a_worker_taken_for_dead_puts_its_sessions_back_at_its_next_heartbeat(
    redis_url: str, room: str
) -> None:
    async with chat_worker(redis_url) as worker, chat_worker(redis_url) as other:
        ann = worker.connect()
        await ann.join(room)
        async with beating(worker.reaper):
            await until(worker.has_beaten, what="the first heartbeat")
            await other.presence.sweep(room, worker.name)
            await other.workers.forget(worker.name)

            async def is_back() -> bool:
                rooms = await other.workers.rooms_of(worker.name)
                return await other.users(room) == ["ann"] and rooms == [room]

            await until(is_back, what="the session is back")
            assert ann.notices() == []


async def test_when_the_store_is_back_the_next_heartbeat_does_not_wait(worker: ChatWorker) -> None:
    reaper = Reaper(worker.presence, worker.workers, worker.notices, worker.tracker, SELDOM)
    async with beating(reaper):
        await until(worker.has_beaten, what="the first heartbeat")
        await worker.workers.forget(worker.name)
        reaper.beat_soon()
        await until(worker.has_beaten, what="a heartbeat long before it is due")


@pytest.mark.system
@tried_again(HeldUp)
async def test_when_the_store_is_back_those_who_live_have_time_to_beat(redis_url: str) -> None:
    """While it was away nobody could beat: every heartbeat is old, until each worker is connected again."""
    room = f"room-{uuid.uuid4().hex}"
    async with chat_worker(redis_url) as here, chat_worker(redis_url) as late:
        ann, ben = here.connect(), late.connect()
        await ann.join(room)
        await ben.join(room, "ben")
        await until(lambda: ann.notices() == ["ben has joined the room"], what="the notice")
        await late.workers.depart(0.0)  # its heartbeat is as old as if the store had been away
        back_at = time.monotonic()
        here.reaper.beat_soon()

        def is_ben_there() -> bool:
            """Once the time to beat is over, he may be announced: then it was the machine that was late."""
            in_time(back_at, SETTLE_S)
            return "ben has left the room" not in ann.notices()

        async with beating(here.reaper):
            await stays(is_ben_there, DEAD_S, "nobody is announced")
            await late.workers.beat()
            in_time(back_at, SETTLE_S)
            await stays(lambda: "ben has left the room" not in ann.notices(), 0.3, "nobody is announced")
        assert await here.users(room) == ["ann", "ben"]


@pytest.mark.system
async def test_a_worker_that_died_while_the_store_was_away_is_cleaned_up_after(
    worker: ChatWorker, room: str
) -> None:
    dead = DeadWorker(worker, room)
    await dead.joins(room, "ben")
    await dead.dies()
    worker.reaper.beat_soon()
    async with beating(worker.reaper):
        await until(dead.is_forgotten, what="the dead worker is cleaned up after")
    assert await worker.users(room) == []


async def test_a_room_that_cannot_be_swept_does_not_keep_the_others_from_being_cleaned_up(
    worker: ChatWorker, room: str
) -> None:
    dead, ann = DeadWorker(worker, room), worker.connect()
    rooms = [f"{room}-{number}" for number in range(4)]
    for name in rooms:
        await ann.join(name)
        await dead.joins(name, "ben")
    spoiled = keys.members(rooms[1], dead.name)
    await worker.store.call(spoiled, "SET", spoiled, "not a hash")
    await dead.dies()
    with capture_logs() as logged:
        async with beating(worker.reaper):
            await until(dead.is_forgotten, what="the dead worker is cleaned up after")
    others = [name for name in rooms if name != rooms[1]]
    assert [await worker.users(name) for name in others] == [["ann"]] * 3
    assert [line["room"] for line in logged if line["event"] == "room_not_swept"] == [rooms[1]]


async def test_a_dead_worker_whose_rooms_cannot_be_read_does_not_keep_the_others(
    worker: ChatWorker, room: str
) -> None:
    spoiled, dead = DeadWorker(worker, f"a-{room}"), DeadWorker(worker, f"b-{room}")
    key = keys.worker_rooms(spoiled.name)
    await worker.store.call(key, "SET", key, "not a set")
    await dead.joins(room, "ben")
    await spoiled.dies()
    await dead.dies()
    with capture_logs() as logged:
        async with beating(worker.reaper):
            await until(dead.is_forgotten, what="the dead worker is cleaned up after")
            await until(spoiled.is_forgotten, what="the other one is given up")
    assert await worker.users(room) == []
    assert [line["dead"] for line in logged if line["event"] == "worker_rooms_unreadable"] == [spoiled.name]


async def test_heartbeats_go_on_during_a_long_clean_up(worker: ChatWorker, room: str) -> None:
    """Else the worker that cleans up is the next that is presumed dead."""
    dead = DeadWorker(worker, room)
    rooms = keys.worker_rooms(dead.name)
    await worker.store.call(rooms, "SADD", rooms, *(f"{room}-{number}" for number in range(MANY)))
    await dead.dies()
    async with beating(worker.reaper):
        await until(worker.has_beaten, what="the first heartbeat")
        first = await worker.store.call(keys.WORKERS, "ZSCORE", keys.WORKERS, worker.name)

        async def has_beaten_again() -> bool:
            last = await worker.store.call(keys.WORKERS, "ZSCORE", keys.WORKERS, worker.name)
            return float(last) > float(first)

        await until(has_beaten_again, what="the next heartbeat")
        assert await worker.workers.rooms_of(dead.name), "there was more to clean up"
    await worker.workers.forget(dead.name)


async def test_heartbeats_that_are_refused_are_reported_once(server: Valkey) -> None:
    async with chat_worker(server.url) as worker:
        await worker.store.call(keys.WORKERS, "SET", keys.WORKERS, "not a sorted set")
        with capture_logs() as logged:
            async with beating(worker.reaper):
                await until(lambda: failures(logged), what="the report")
                await worker.store.call(keys.WORKERS, "SET", keys.WORKERS, "still not one")
                await stays(lambda: len(failures(logged)) == 1, 0.6, "no second report")
                await worker.store.call(keys.WORKERS, "DEL", keys.WORKERS)
                await until(worker.has_beaten, what="heartbeats go on")
        assert "WRONGTYPE" in str(failures(logged)[0])


@pytest.mark.parametrize(("heartbeat_s", "longest_s"), [(0.1, 30), (3, 30), (20, 30), (60, 72)])
def test_pauses_after_refusals_grow_from_the_usual_one_up_to_30_s(
    heartbeat_s: float, longest_s: float
) -> None:
    pauses = heartbeats_after_refusals(heartbeat_s)
    for _ in range(100):
        assert 0.8 * heartbeat_s <= pauses.pause_s(0) <= 1.2 * heartbeat_s
        assert 0.8 * min(2 * heartbeat_s, longest_s / 1.2) <= pauses.pause_s(1)
        assert longest_s / 1.5 <= pauses.pause_s(1000) <= longest_s


class CountedWorkers(Workers):
    """Notes when each heartbeat was tried."""

    beaten_at: list[float]

    async def beat(self) -> Beat:
        self.beaten_at.append(time.monotonic())
        return await super().beat()


@tried_again(HeldUp)
async def test_heartbeats_that_are_refused_come_seldom_and_as_usual_once_they_pass(server: Valkey) -> None:
    async with chat_worker(server.url) as worker:
        await worker.store.call(keys.WORKERS, "SET", keys.WORKERS, "not a sorted set")
        workers, usual_s = CountedWorkers(worker.store, worker.name, 60.0), 0.02
        beaten_at = workers.beaten_at = []
        options = PresenceOptions(heartbeat_s=usual_s)
        async with beating(Reaper(worker.presence, workers, worker.notices, worker.tracker, options)):
            await until(lambda: len(beaten_at) == 6, what="six heartbeats are refused")
            pauses = [after - before for before, after in pairwise(beaten_at)]
            for refusals, pause_s in enumerate(pauses, 1):
                assert pause_s >= 0.8 * usual_s * 2**refusals, "each is twice the one before"
            await worker.store.call(keys.WORKERS, "DEL", keys.WORKERS)
            await until(worker.has_beaten, what="the next heartbeat passes")
            begun, passed = time.monotonic(), len(beaten_at)
            await until(lambda: len(beaten_at) >= passed + 3, what="three more heartbeats")
            in_time(begun, 1.0)  # growing on, the next three would take 8 s


async def test_an_entry_that_cannot_be_read_keeps_nobody_from_beating_and_cleaning_up(
    server: Valkey, room: str
) -> None:
    async with chat_worker(server.url) as worker:
        await worker.store.call(keys.WORKERS, "ZADD", keys.WORKERS, -1, b"\xff")
        dead = DeadWorker(worker, room)
        await dead.joins(room, "ben")
        await dead.dies()
        with capture_logs() as logged:
            async with beating(worker.reaper):
                await until(dead.is_forgotten, what="the dead worker is cleaned up after")
                await worker.workers.forget(worker.name)
                await until(worker.has_beaten, what="the next heartbeat")
        assert failures(logged) == []


def failures(logged: Sequence[Mapping[str, object]]) -> list[object]:
    """Why heartbeats failed, by the log."""
    return [line["reason"] for line in logged if line["event"] == "heartbeat_failed"]
