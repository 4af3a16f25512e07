"""Presence of a worker with very many rooms, over a network: put back, and cleaned up after, in batches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from gateway import keys
from gateway.chat.reaper import Reaper
from gateway.option_groups import PresenceOptions
from gateway.rooms.member import Member
from gateway.rooms.room import Room
from tests.support.chat_worker import ChatWorker, chat_worker
from tests.support.servers import Valkey
from tests.support.waiting import Stopwatch, until
from tests.system.faults.proxy import Proxy

pytestmark = pytest.mark.system  # a server of its own, and a proxy

ROOMS_PER_SESSION = 100
ONE_WAY_S = 0.001
ASKED_A_ROOM_AT_MOST = 2 / 100 * 4
"""Each room is in two batches of 100, and a busy machine sends a batch in several pieces: 800 for 10,000 rooms, where
room by room they would be 20,000. Counted, not timed: how long 10,000 rooms take is the machine's (0.8 s on an idle
one)."""
BESIDES_S = 0.5
"""Longest that a client may wait for the worker meanwhile, by what this process computes in one turn. All at
once would be two seconds for 10,000 rooms, 0.8 s for 4,000; a busy machine makes 0.1 s of work twice as long."""


@pytest.fixture
async def far(server: Valkey) -> AsyncIterator[Proxy]:
    """The server, a millisecond away."""
    async with Proxy(server.port) as proxy:
        proxy.delay_s = ONE_WAY_S
        yield proxy


def crowd(worker: ChatWorker, room: str, count: int) -> list[str]:
    """Sessions of a worker that are in many rooms, of which the store knows nothing."""
    rooms = [f"{room}-{number}" for number in range(count)]
    for first in range(0, count, ROOMS_PER_SESSION):
        session = worker.connect().session
        for name in rooms[first : first + ROOMS_PER_SESSION]:
            opened = Room(name, keys.live(name), lambda opened: None)
            session.rooms[name] = Member(opened, session.sid, session.socket, "ann")
    return rooms


async def longest_turn_s(until_done: asyncio.Task[None]) -> float:
    """The longest that the event loop computed without a break."""
    longest_s = 0.0
    while not until_done.done():
        begun = time.process_time()
        await asyncio.sleep(0.001)
        longest_s = max(longest_s, time.process_time() - begun)
    return longest_s


@pytest.mark.parametrize("count", [4_000, pytest.param(10_000, marks=pytest.mark.long)])
async def test_sessions_are_put_back_and_cleaned_up_after_in_batches(
    server: Valkey, far: Proxy, room: str, count: int
) -> None:
    options = PresenceOptions(system_name="ChatBot", notices_users_max=3, grace_s=0.3, heartbeat_s=3)
    url = f"redis://127.0.0.1:{far.port}/0"
    async with chat_worker(url, timeout_s=10.0) as lost, chat_worker(url, timeout_s=10.0) as living:
        rooms = crowd(lost, room, count)
        members = [keys.members(name, lost.name) for name in rooms]

        async def put_back() -> None:
            lost.tracker.register_again()
            last = rooms[-1]
            await until(lambda: in_room(server, last, lost.name), 60, "the last one is back")

        async with Stopwatch() as watch:
            task = asyncio.create_task(put_back())
            busy_s = await longest_turn_s(task)
            await task
        print(
            f"put back: {far.asked} pieces, {watch.seconds:.2f} s, held up {watch.held_up_s:.2f} s, "
            f"longest turn {busy_s:.3f} s"
        )
        assert await server.ask("EXISTS", *members) == count
        assert await server.ask("SCARD", keys.worker_rooms(lost.name)) == count
        assert far.asked < ASKED_A_ROOM_AT_MOST * count
        await lost.workers.depart(0.0)
        reaper = Reaper(living.presence, living.workers, living.notices, living.tracker, options)

        async def is_forgotten() -> bool:
            return await server.ask("ZSCORE", keys.WORKERS, lost.name) is None

        asked = far.asked
        async with Stopwatch() as watch:
            running = asyncio.create_task(reaper.run())
            await until(is_forgotten, 60, "it is cleaned up after")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        print(
            f"cleaned up: {far.asked - asked} pieces, {watch.seconds:.2f} s, held up {watch.held_up_s:.2f} s"
        )
        assert await server.ask("EXISTS", *members) == 0
        assert far.asked - asked < ASKED_A_ROOM_AT_MOST * count
        assert busy_s < BESIDES_S


async def in_room(server: Valkey, room: str, worker: str) -> bool:
    """Whether a worker has sessions in a room."""
    return bool(await server.ask("EXISTS", keys.members(room, worker)))
