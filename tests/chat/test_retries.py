"""What must reach the store: tried again while the store is away, given up once it is refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise

import pytest
from structlog.testing import capture_logs

from gateway import keys
from gateway.chat.retries import AT_ONCE, PAUSES, STARTED_AT_ONCE, Retries, until_stored
from gateway.errors import StoreUnavailable
from tests.support.chat_worker import ChatWorker, chat_worker
from tests.support.servers import Valkey
from tests.support.waiting import until

GRACE_S = 0.2


async def spoil(worker: ChatWorker, key: bytes) -> None:
    """Somebody's hand writes another type of value to a key of a room."""
    await worker.store.call(key, "DEL", key)
    await worker.store.call(key, "SET", key, "not a hash")


async def test_what_the_store_refuses_is_tried_once_and_logged_once(worker: ChatWorker, room: str) -> None:
    await spoil(worker, keys.members(room, worker.name))
    attempts: list[float] = []

    async def attempt() -> None:
        attempts.append(time.monotonic())
        await worker.presence.away(room, "s1")

    with capture_logs() as logged:
        await until_stored(attempt, "away", room=room)
    assert len(attempts) == 1
    (line,) = logged
    assert (line["event"], line["what"], line["room"]) == ("presence_not_stored", "away", room)
    assert "WRONGTYPE" in line["reason"]


@pytest.mark.system  # kills a server of its own, and waits for pauses
async def test_what_the_store_cannot_take_now_is_tried_again_at_longer_intervals(
    server: Valkey, room: str
) -> None:
    async with chat_worker(server.url) as worker:
        attempts: list[float] = []

        async def attempt() -> None:
            attempts.append(time.monotonic())
            if len(attempts) == 3:
                await server.start()
            await worker.presence.join(room, "s1", "ann")

        server.kill()
        await until(lambda: not worker.store.is_up, what="the connection is lost")
        await until_stored(attempt, "join", room=room)
        assert await worker.users(room) == ["ann"]
        pauses = [after - before for before, after in pairwise(attempts)]
        shortest_s = PAUSES.first_s * PAUSES.jitter[0]
        assert pauses[0] >= shortest_s
        assert pauses[1] >= 2 * shortest_s


async def test_a_session_whose_leave_is_refused_does_not_keep_another_from_leaving(
    redis_url: str, room: str
) -> None:
    async with chat_worker(redis_url, GRACE_S) as worker:
        spoiled, ann, ben = f"{room}-spoiled", worker.connect(), worker.connect()
        await ann.join(room)
        await ben.join(spoiled, "ben")
        await ben.join(room, "ben")
        await spoil(worker, keys.users(spoiled))
        with capture_logs() as logged:
            ben.close()
            await until(lambda: "ben has left the room" in ann.notices(), what="the leave is told")
            await until(lambda: refused(logged, spoiled), what="the refusal is logged")
        assert await worker.users(room) == ["ann"]
        assert len(refused(logged, spoiled)) == 1


async def test_a_room_that_is_refused_does_not_keep_the_others_from_being_put_back(
    worker: ChatWorker, room: str
) -> None:
    ann, rooms = worker.connect(), [f"{room}-{number}" for number in range(3)]
    for name in rooms:
        await ann.join(name)
    for name in rooms:
        await worker.presence.sweep(name, worker.name)
    await spoil(worker, keys.members(rooms[0], worker.name))
    with capture_logs() as logged:
        worker.tracker.register_again()

        async def are_back() -> bool:
            return [await worker.users(name) for name in rooms[1:]] == [["ann"], ["ann"]]

        await until(are_back, what="the session is back in the others")
    assert len(refused(logged, rooms[0])) == 1


def refused(logged: Sequence[Mapping[str, object]], room: str) -> list[object]:
    """What was given up in a room, by the log."""
    lines = [line for line in logged if line["event"] == "presence_not_stored"]
    return [line["what"] for line in lines if line["room"] == room]


async def test_however_many_sessions_are_gone_few_attempts_are_under_way_and_few_begin_in_a_turn() -> None:
    retries, done = Retries(), list[int]()
    under_way, most, begun, most_begun = 0, 0, 0, 0

    async def attempt(number: int) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.001)
        under_way -= 1
        done.append(number)

    async def job(number: int) -> None:
        nonlocal begun
        begun += 1
        await retries.until_stored(lambda: attempt(number), "away")

    for number in range(1_000):
        retries.start_soon(job(number))
    while len(done) < 1_000:
        before = begun
        await asyncio.sleep(0)
        most_begun = max(most_begun, begun - before)
    assert (most, most_begun) == (AT_ONCE, STARTED_AT_ONCE)
    assert done == list(range(1_000)), "in the order in which they came"
    await retries.close()


async def test_those_that_wait_for_the_store_keep_nobody_from_it() -> None:
    retries, tried = Retries(), 0

    async def away() -> None:
        nonlocal tried
        tried += 1
        raise StoreUnavailable("its server is away")

    async def there() -> None:
        pass

    for _ in range(2 * AT_ONCE):
        retries.start_soon(retries.until_stored(away, "away"))
    await until(lambda: tried == 2 * AT_ONCE, 0.5 * PAUSES.first_s, "each was tried, and pauses")
    await asyncio.wait_for(retries.until_stored(there, "away"), 0.5 * PAUSES.first_s)
    retries.start_soon(retries.until_stored(there, "away"))
    await retries.close()  # with one that has not begun: it would warn that nobody awaited it
