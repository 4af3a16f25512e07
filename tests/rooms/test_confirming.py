"""Many rooms after their channels or Redis were away: who missed nothing is not read, everybody else is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway import keys
from gateway.metrics import repairs, snapshots
from gateway.protocol import entry, entry_head
from gateway.rooms.confirming import is_there, may_be_confirmed
from gateway.rooms.repairs import AT_ONCE
from gateway.rooms.room import Room
from gateway.state.history import Place
from tests.support.chat_worker import ChatWorker, chat_worker
from tests.support.live_room import entered
from tests.support.recorder import Recorder
from tests.support.waiting import until

ROOMS = AT_ONCE + 5


@pytest.fixture
async def worker(redis_url: str) -> AsyncIterator[ChatWorker]:
    async with chat_worker(redis_url, timeout_s=10.0) as worker:
        yield worker


Entered = list[tuple[Room, Recorder]]


async def many(worker: ChatWorker, name: str) -> Entered:
    """More rooms than are read at once, each with a message; every second one says nothing."""
    rooms = list(await asyncio.gather(*(entered(worker, f"{name}-{at}") for at in range(ROOMS))))
    for room, _ in rooms[::2]:
        worker.publisher.publish(room, entry_head("first", "u"), None, lambda result: None)
    await until(lambda: all(seen.texts() for _, seen in rooms[::2]), what="the first messages")
    return rooms


def counted() -> tuple[int, int]:
    """Rooms that were confirmed, and that were read for a repair."""
    return int(dict(repairs.samples())[("confirmed",)]), int(dict(snapshots.samples())[("repair",)])


async def restored(worker: ChatWorker) -> tuple[int, int]:
    """Brings all rooms up; how many of them were confirmed, and how many read."""
    before = counted()
    worker.hub.on_restored()
    await until(lambda: not worker.hub.waiting, what="all are asked for")
    rooms = worker.hub.rooms.values()
    await until(lambda: not any(room.reading.is_running for room in rooms), what="all are read")
    confirmed, read = counted()
    return confirmed - before[0], read - before[1]


async def test_rooms_that_missed_nothing_are_not_read(worker: ChatWorker, room: str) -> None:
    rooms = await many(worker, room)
    assert await restored(worker) == (ROOMS, 0)
    for opened, seen in rooms:
        worker.publisher.publish(opened, entry_head("later", "u"), None, lambda result: None)
        await until(lambda seen=seen: seen.texts()[-1:] == ["later"], what="it goes on")


async def test_a_room_that_missed_a_message_gets_it(worker: ChatWorker, room: str) -> None:
    (opened, seen), *_ = await many(worker, room)
    key, meta = keys.history(opened.name), keys.meta(opened.name)
    await worker.store.call(key, "RPUSH", key, entry("missed", "u", 5))
    await worker.store.call(meta, "HSET", meta, "seq", 2, "last", 5)
    assert await restored(worker) == (ROOMS - 1, 1)
    assert seen.texts() == ["first", "missed"]


async def test_a_number_that_redis_gave_again_while_nobody_heard_is_a_gap(
    worker: ChatWorker, room: str
) -> None:
    (opened, seen), *_ = await many(worker, room)
    key, meta = keys.history(opened.name), keys.meta(opened.name)
    await worker.store.call(key, "LSET", key, -1, entry("another", "u", 5))
    await worker.store.call(meta, "HSET", meta, "last", 5)
    confirmed, read = await restored(worker)
    assert confirmed == ROOMS - 1
    assert read >= 1
    assert seen.texts() == ["first", "GAP", "another"]


async def test_a_room_that_is_behind_what_was_acknowledged_is_read(worker: ChatWorker, room: str) -> None:
    (opened, _), *_ = await many(worker, room)
    opened.detector.acknowledged(opened.epoch, 5, b"{}")
    assert not may_be_confirmed(opened)
    confirmed, _ = await restored(worker)
    assert confirmed == ROOMS - 1


async def test_a_room_whose_messages_were_changed_is_read(worker: ChatWorker, room: str) -> None:
    (opened, _), *_ = await many(worker, room)
    meta = keys.meta(opened.name)
    await worker.store.call(meta, "HSET", meta, "more", 1)
    assert await restored(worker) == (ROOMS - 1, 1)


async def test_a_room_that_redis_lost_is_read(worker: ChatWorker, room: str) -> None:
    (opened, seen), *_ = await many(worker, room)
    await worker.store.call(keys.meta(opened.name), "DEL", keys.meta(opened.name), keys.history(opened.name))
    confirmed, _ = await restored(worker)
    assert confirmed == ROOMS - 1
    assert seen.texts() == ["first", "GAP"]


async def test_after_a_failover_every_room_is_read(worker: ChatWorker, room: str) -> None:
    await many(worker, room)
    before = counted()
    worker.hub.on_failover(0.0)
    confirmed, read = await restored(worker)
    assert counted()[1] - before[1] >= ROOMS
    assert (confirmed, read >= 0) == (0, True)


async def test_a_position_that_is_asked_for_is_kept_on(worker: ChatWorker, room: str) -> None:
    (opened, _), (quiet, _), *_ = await many(worker, room)
    for each in (opened, quiet):
        await worker.store.call(keys.meta(each.name), "EXPIRE", keys.meta(each.name), 5)
    await restored(worker)
    for each in (opened, quiet):
        assert await worker.store.call(keys.meta(each.name), "TTL", keys.meta(each.name)) > 500


async def test_where_a_room_is_must_be_the_same_in_all(worker: ChatWorker, room: str) -> None:
    (opened, _), (quiet, _), *_ = await many(worker, room)
    data = opened.last_data or b""
    last_ms = data.partition(b'"__createdtime__":')[2].partition(b",")[0]
    there = Place(opened.epoch_bytes, 1, last_ms, False)
    assert is_there(opened, there)
    assert is_there(quiet, Place(quiet.epoch_bytes, 0, b"", False))
    for other in (
        None,
        there._replace(epoch=b"other"),
        there._replace(seq=2),
        there._replace(last_ms=last_ms[:-1]),
        there._replace(last_ms=b""),
        there._replace(is_changed=True),
    ):
        assert not is_there(opened, other), other
