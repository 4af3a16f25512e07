"""Who is announced, and when: one notice per user, silence for those who come back."""

from __future__ import annotations

import time
import uuid

from tests.support.chat_worker import ChatWorker, chat_worker
from tests.support.waiting import HeldUp, in_time, stays, tried_again, until

GRACE_S = 0.3


async def test_a_user_is_announced_once_however_many_tabs(worker: ChatWorker, room: str) -> None:
    ann, first, second = worker.connect(), worker.connect(), worker.connect()
    await ann.join(room)
    await first.join(room, "ben")
    await second.join(room, "ben")
    await first.call("leave", {"username": "ben", "room": room})
    await second.call("leave", {"username": "ben", "room": room})
    await until(
        lambda: ann.notices() == ["ben has joined the room", "ben has left the room"], what="two notices"
    )
    told = {*first.notices(), *second.notices()}
    assert told <= {"ann has joined the room"}, "one is not told of oneself; what was before may come late"


async def test_joining_again_is_not_announced(worker: ChatWorker, room: str) -> None:
    ann, ben = worker.connect(), worker.connect()
    await ann.join(room)
    await ben.join(room, "ben")
    await ben.join(room, "ben")
    await ben.send(room, "here")
    await until(lambda: "here" in ann.messages(), what="the message")
    assert ann.notices() == ["ben has joined the room"]


@tried_again(HeldUp)
async def test_a_dropped_connection_leaves_when_the_grace_period_is_over(redis_url: str) -> None:
    room = f"room-{uuid.uuid4().hex}"
    async with chat_worker(redis_url, GRACE_S) as worker:
        ann, ben = worker.connect(), worker.connect()
        await ann.join(room)
        await ben.join(room, "ben")
        dropped_at = time.monotonic()
        ben.close()
        users = await worker.users(room)
        in_time(dropped_at, GRACE_S)
        assert users == ["ann", "ben"]
        await until(lambda: ann.notices()[1:] == ["ben has left the room"], what="the notice")
        assert await worker.users(room) == ["ann"]


@tried_again(HeldUp)
async def test_one_who_comes_back_in_time_on_another_connection_was_never_away(redis_url: str) -> None:
    room = f"room-{uuid.uuid4().hex}"
    async with chat_worker(redis_url, GRACE_S) as worker:
        ann, ben, again = worker.connect(), worker.connect(), worker.connect()
        await ann.join(room)
        await ben.join(room, "ben")
        dropped_at = time.monotonic()
        ben.close()
        await again.join(room, "ben")
        in_time(dropped_at, GRACE_S)
        await until(lambda: len(ann.notices()) == 1, what="the first notice")
        await stays(lambda: ann.notices() == ["ben has joined the room"], 3 * GRACE_S, "no more notices")
        assert await worker.users(room) == ["ann", "ben"]


@tried_again(HeldUp)
async def test_a_session_that_was_dropped_and_joins_after_all_stays(redis_url: str) -> None:
    """A join or leave that failed is made good after the grace period, unless the client has tried again."""
    room = f"room-{uuid.uuid4().hex}"
    async with chat_worker(redis_url, GRACE_S) as worker:
        ann, ben = worker.connect(), worker.connect()
        await ann.join(room)
        dropped_at = time.monotonic()
        worker.tracker.drop(room, ben.sid, "ben")
        await ben.join(room, "ben")
        in_time(dropped_at, GRACE_S)
        await until(lambda: len(ann.notices()) == 1, what="the first notice")
        await stays(lambda: ann.notices() == ["ben has joined the room"], 3 * GRACE_S, "no more notices")
        assert await worker.users(room) == ["ann", "ben"]


async def test_two_workers_announce_to_each_others_members(redis_url: str, room: str) -> None:
    async with chat_worker(redis_url) as here, chat_worker(redis_url) as there:
        ann, ben = here.connect(), there.connect()
        await ann.join(room)
        await ben.join(room, "ben")
        await until(lambda: ann.notices() == ["ben has joined the room"], what="the notice")


async def test_in_a_large_room_nobody_is_announced(worker: ChatWorker, room: str) -> None:
    ann = worker.connect()
    await ann.join(room)
    for number in range(4):
        await worker.connect().join(room, f"user-{number}")
    await ann.send(room, "here")
    await until(lambda: ann.messages() == ["here"], what="the message")
    assert ann.notices() == ["user-0 has joined the room", "user-1 has joined the room"]


async def test_what_a_store_has_forgotten_is_put_back_silently(worker: ChatWorker, room: str) -> None:
    ann, ben = worker.connect(), worker.connect()
    await ann.join(room)
    await ben.join(room, "ben")
    await worker.presence.sweep(room, worker.name)
    assert await worker.users(room) == []
    worker.tracker.register_again()

    async def are_back() -> bool:
        return await worker.users(room) == ["ann", "ben"]

    await until(are_back, what="the sessions are back")
    assert ann.notices() == ["ben has joined the room"]


async def test_a_room_given_up_and_taken_up_again_stays_registered(redis_url: str, room: str) -> None:
    async with chat_worker(redis_url, GRACE_S) as worker:
        ann = worker.connect()
        await ann.join(room)
        assert await worker.workers.rooms_of(worker.name) == [room]
        await ann.call("leave", {"username": "ann", "room": room})

        async def is_forgotten() -> bool:
            return await worker.workers.rooms_of(worker.name) == []

        await until(is_forgotten, what="the room is given up")
        worker.tracker.on_room_closed(room)
        await ann.join(room)
        assert await worker.workers.rooms_of(worker.name) == [room]
