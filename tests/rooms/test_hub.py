"""The rooms of one worker on a real store: subscribed before read, handed out by room, repaired after a break."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest
import redis.asyncio as redis

from gateway import keys
from gateway.errors import StoreError, StoreUnavailable
from gateway.metrics import snapshots
from gateway.protocol import entry_head
from gateway.rooms.room import Room
from gateway.state.history import Snapshot
from tests.support.chat_worker import ChatWorker, chat_worker
from tests.support.live_room import entered
from tests.support.servers import Valkey
from tests.support.topologies import standalone
from tests.support.waiting import until


@pytest.fixture
async def worker(redis_url: str) -> AsyncIterator[ChatWorker]:
    async with chat_worker(redis_url) as worker:
        yield worker


@pytest.fixture
async def server() -> AsyncIterator[Valkey]:
    async with standalone("none") as server:
        yield server


def send(worker: ChatWorker, opened: Room, text: str) -> None:
    worker.publisher.publish(opened, entry_head(text, "u"), None, lambda result: None)


async def test_a_feed_is_made_once_and_is_subscribed_when_that_is_told(
    worker: ChatWorker, redis_url: str, room: str
) -> None:
    opened = worker.hub.room(room)
    assert worker.hub.room(room) is opened
    await asyncio.wait_for(worker.hub.subscribed(opened), 10)
    async with redis.Redis.from_url(redis_url) as client:
        assert await client.publish(keys.live(room), "x") == 1


async def test_what_one_read_brings_for_many_rooms_reaches_each_in_order(
    worker: ChatWorker, room: str
) -> None:
    rooms = [await entered(worker, f"{room}-{number}") for number in range(5)]
    for number in range(20):
        for opened, _ in rooms:
            send(worker, opened, f"m{number}")
    expected = [f"m{number}" for number in range(20)]
    await until(lambda: all(seen.texts() == expected for _, seen in rooms), what="all messages")


async def test_what_is_no_rooms_goes_elsewhere(worker: ChatWorker, redis_url: str, room: str) -> None:
    mark = uuid.uuid4().hex
    async with redis.Redis.from_url(redis_url) as client:
        await client.publish("socketio", mark)
    await until(lambda: mark.encode() in worker.foreign, what="it is handed on")


async def test_on_the_shared_route_rooms_come_over_one_channel(redis_url: str, room: str) -> None:
    async with (
        chat_worker(redis_url, route="shared") as here,
        chat_worker(redis_url, route="shared") as there,
    ):
        opened, ann = await entered(here, room)
        _, ben = await entered(there, room)
        for number in range(10):
            send(here, opened, f"m{number}")
        expected = [f"m{number}" for number in range(10)]
        await until(lambda: ann.texts() == ben.texts() == expected, what="all messages")


async def test_while_the_route_is_changed_worker_by_worker_everybody_gets_everything_once(
    redis_url: str, room: str
) -> None:
    async with chat_worker(redis_url, route="shared") as old, chat_worker(redis_url) as new:
        by_old, ann = await entered(old, room)
        by_new, ben = await entered(new, room)
        for number in range(0, 30, 2):
            send(new, by_new, f"m{number}")
            await until(lambda seen=number: f"m{seen}" in ben.texts(), what="it is heard where it was said")
            send(old, by_old, f"m{number + 1}")
            for member in (ann, ben):
                await until(lambda who=member, seen=number: f"m{seen + 1}" in who.texts(), what="it is heard")
        expected = [f"m{number}" for number in range(30)]
        await until(lambda: ann.texts() == ben.texts() == expected, what="all, once and in order")
        assert not any(room.encode() in payload for payload in new.foreign), "nothing of it is a stranger's"


async def test_nonsense_on_a_rooms_channel_disturbs_nobody(
    worker: ChatWorker, redis_url: str, room: str
) -> None:
    opened, ann = await entered(worker, room)
    async with redis.Redis.from_url(redis_url) as client:
        for payload in (b"", b"nonsense", b"a:b {}", b"\xff:1 {}", b":"):
            await client.publish(keys.live(room), payload)
    send(worker, opened, "m1")
    await until(lambda: "m1" in ann.texts(), what="the message")
    assert worker.pubsub.unhealthy_reason is None
    assert [one.text for one in ann.seen() if one.kind == "stored"] == ["m1"]


async def test_messages_lost_with_a_subscription_are_brought_up_from_history(
    server: Valkey, room: str
) -> None:
    async with chat_worker(server.url) as here, chat_worker(server.url) as there:
        opened, ann = await entered(here, room)
        other, ben = await entered(there, room)
        send(here, opened, "m1")
        await until(lambda: ann.texts() == ben.texts() == ["m1"], what="the first message")
        await server.ask("CLIENT", "KILL", "TYPE", "pubsub")
        for number in range(2, 8):
            send(there, other, f"m{number}")
        expected = [f"m{number}" for number in range(1, 8)]
        await until(lambda: ann.texts() == ben.texts() == expected, what="all messages")


async def test_when_the_bus_is_back_every_room_is_repaired_and_that_is_told(
    server: Valkey, room: str
) -> None:
    async with chat_worker(server.url) as worker:
        rooms = [await entered(worker, f"{room}-{number}") for number in range(100)]
        before, told = snapshots.value, worker.restored
        await server.ask("CLIENT", "KILL", "TYPE", "pubsub")
        await until(lambda: worker.restored > told, what="the bus is back")
        await until(lambda: snapshots.value - before == 100, what="each room is read once")
        await until(lambda: not any(opened.reading.is_open for opened, _ in rooms), what="and settled")


@pytest.mark.system
async def test_a_read_that_failed_is_tried_again_for_those_who_need_it(server: Valkey, room: str) -> None:
    async with chat_worker(server.url) as worker:
        opened, ann = await entered(worker, room)
        server.freeze()
        try:
            opened.request_again()
            await until(lambda: not opened.reading.is_open, what="the read failed")
        finally:
            server.thaw()
        await until(
            lambda: worker.store.is_up and worker.pubsub.unhealthy_reason is None, what="the store is back"
        )
        await until(lambda: not opened.reading.is_open, what="the room is read")
        send(worker, opened, "m1")
        await until(lambda: ann.texts() == ["m1"], what="the message")


async def test_a_history_that_cannot_be_understood_does_not_lock_the_room(
    worker: ChatWorker, redis_url: str, room: str
) -> None:
    async with redis.Redis.from_url(redis_url) as client:
        await client.hset(keys.meta(room), mapping={"epoch": "e", "seq": "many"})
        opened = worker.hub.room(room)
        answers: list[Snapshot | StoreError] = []
        opened.with_snapshot(answers.append)
        await until(lambda: answers, what="an answer")
        assert isinstance(answers[0], StoreError)
        assert not opened.reading.is_open
        await client.delete(keys.meta(room))
    opened.with_snapshot(answers.append)
    await until(lambda: len(answers) == 2, what="another answer")
    assert isinstance(answers[1], Snapshot)


async def test_an_idle_room_is_given_up_after_a_while_and_not_before(redis_url: str, room: str) -> None:
    async with chat_worker(redis_url, grace_s=0.1) as worker:
        opened, _ = await entered(worker, room)
        (member,) = opened.members.values()
        worker.hub.release(opened)
        opened.remove(member)
        worker.hub.release(opened)
        opened.add(member)
        opened.remove(member)
        worker.hub.release(opened)
        await until(lambda: worker.closed == [room], what="it is given up")
        assert room not in worker.hub.rooms
        async with redis.Redis.from_url(redis_url) as client:

            async def is_unsubscribed() -> bool:
                return int(await client.publish(keys.live(room), "x")) == 0

            await until(is_unsubscribed, what="the subscription ends")


async def test_a_worker_that_closes_tells_those_who_wait(server: Valkey, room: str) -> None:
    async with chat_worker(server.url) as worker:
        server.freeze()
        waiting = asyncio.create_task(worker.hub.subscribed(worker.hub.room(room)))
        await asyncio.sleep(0)
        await worker.pubsub.close()
        with pytest.raises(StoreUnavailable):
            await asyncio.wait_for(waiting, 10)
        server.thaw()
