"""Rooms in which nothing was ever said: they leave nothing behind, and lose nothing while somebody is in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import redis.asyncio as redis

from gateway import keys
from gateway.rooms.empty_rooms import EmptyRooms
from gateway.state.history import NOTHING, Histories
from tests.support.chat_worker import ChatWorker, chat_worker
from tests.support.waiting import until

TTL_S = 1


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[redis.Redis]:
    client = redis.Redis.from_url(redis_url)
    yield client
    await client.aclose()


@asynccontextmanager
async def renewing(*workers: ChatWorker) -> AsyncIterator[None]:
    """Workers that renew, as they do under `server/app.py`."""
    tasks = [
        asyncio.create_task(EmptyRooms(worker.hub, worker.histories).run(), name="renewing")
        for worker in workers
    ]
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def keys_of(client: redis.Redis, room: str) -> list[bytes]:
    return sorted([key async for key in client.scan_iter(f"*{room}*", count=1000)])


async def until_it_leaves_nothing(client: redis.Redis, room: str) -> None:
    async def is_gone() -> bool:
        return not await keys_of(client, room)

    await until(is_gone, what="the room has left nothing")


async def test_members_who_wait_for_longer_than_that_get_the_first_message_without_a_gap(
    redis_url: str, room: str, client: redis.Redis
) -> None:
    how = {"timeout_s": 10.0, "empty_ttl_s": TTL_S}
    async with chat_worker(redis_url, **how) as one, chat_worker(redis_url, **how) as other:
        async with renewing(one, other):
            ann, ben, cy = one.connect(), other.connect(), other.connect()
            first = await ann.join(room)
            assert await client.ttl(keys.meta(room)) <= TTL_S
            await asyncio.sleep(1.7 * TTL_S)  # the very time that is to be waited out
            assert (await ben.join(room, "ben"))["id"] == first["id"], "the position has stayed"
            ann.close()
            back = one.connect()
            again = await back.join(room, since=first["id"])
            assert (again["id"], again["recovered"]) == (first["id"], True)
            answer = await ben.send(room, "the first one")
            assert answer["id"] == first["id"].replace(":0", ":1")
            await cy.join(room, "cy", since=first["id"])
            for member in (back, ben, cy):
                await until(lambda member=member: member.messages() == ["the first one"], what="it comes")
                assert member.events("error") == []
            assert await client.ttl(keys.meta(room)) > 500, "now the room is kept for its whole time"


async def test_a_position_that_expired_under_members_is_given_back_by_who_has_seen_it(
    redis_url: str, room: str, client: redis.Redis
) -> None:
    async with chat_worker(redis_url, timeout_s=10.0, empty_ttl_s=TTL_S) as worker:
        ann, ben = worker.connect(), worker.connect()
        first = await ann.join(room)
        await client.delete(keys.meta(room))
        assert (await ben.join(room, "ben"))["id"] == first["id"], "by a join"
        await client.delete(keys.meta(room))
        answer = await ann.send(room, "the first one")
        assert answer["id"] == first["id"].replace(":0", ":1"), "by a message"
        for member in (ann, ben):
            await until(lambda member=member: member.messages() == ["the first one"], what="it comes")
            assert member.events("error") == []


async def test_a_room_that_was_only_joined_and_read_leaves_nothing(
    redis_url: str, room: str, client: redis.Redis
) -> None:
    how = {"timeout_s": 10.0, "empty_ttl_s": TTL_S, "grace_s": 0.1}
    async with chat_worker(redis_url, **how) as worker, renewing(worker):
        leaves, drops = worker.connect(), worker.connect()
        for number, member in enumerate((leaves, drops)):
            await member.join(room, f"user {number}")
            await member.call("history", {"room": room})
            await member.call("members", {"room": room})
        await leaves.call("leave", {"room": room})
        drops.close()
        await until_it_leaves_nothing(client, room)
        await until(lambda: worker.closed == [room], what="the worker has given it up")

        async def is_quit() -> bool:
            return not await client.exists(keys.worker_rooms(worker.name))

        await until(is_quit, what="its list of rooms is empty")


async def test_a_refused_name_and_a_full_connection_leave_nothing(
    redis_url: str, room: str, client: redis.Redis
) -> None:
    async with chat_worker(redis_url, timeout_s=10.0, rooms_max=1) as worker:
        ann = worker.connect()
        assert (await ann.join(room, "ChatBot"))["code"] == "name_taken_by_system"
        assert (await ann.send(room, "hello", username="ann"))["code"] == "not_joined"
        assert (await ann.call("history", {"room": room}))["code"] == "not_joined"
        assert (await ann.join(f"other-{room[5:]}"))["ok"]
        assert (await ann.join(room))["code"] == "room_limit"
        assert await keys_of(client, room) == []


async def test_renewing_never_shortens_what_a_message_has_lengthened(
    worker: ChatWorker, room: str, client: redis.Redis
) -> None:
    ann = worker.connect()
    await ann.join(room)
    await ann.send(room, "said")
    before_s = await client.ttl(keys.meta(room))
    await Histories(worker.store, 600, TTL_S).keep_empty([room, f"{room}-nobody"])
    assert await client.ttl(keys.meta(room)) >= before_s - 5 > 100
    assert not await client.exists(keys.meta(f"{room}-nobody")), "it makes nothing"


async def test_a_reading_without_members_says_whether_there_was_such_a_room(
    worker: ChatWorker, room: str
) -> None:
    first = await worker.histories.snapshot(room)
    again = await worker.histories.snapshot(room)
    assert (first.is_new, again.is_new, again.epoch) == (True, False, first.epoch)
    await worker.store.call(keys.meta(room), "DEL", keys.meta(room))
    seen = NOTHING._replace(position=first.position)
    assert (await worker.histories.snapshot(room, seen)).epoch == first.epoch
    assert (await worker.histories.snapshot(f"{room}-old")).is_new
    await worker.store.call(keys.history(f"{room}-2"), "RPUSH", keys.history(f"{room}-2"), "{}")
    assert not (await worker.histories.snapshot(f"{room}-2")).is_new, "the old service made it"
