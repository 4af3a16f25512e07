"""Rooms whose members are only counted: one number for each worker, whatever their size."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from gateway import keys
from gateway.access.room_rules import RoomRule, RoomRules
from gateway.chat import counted_rooms
from gateway.moderation_events import Target
from gateway.state.census import Census
from gateway.state.hook_progress import HookProgress
from gateway.state.people import people_in
from gateway.state.presence import Presence
from gateway.state.room_counts import RoomCounts
from tests.support.chat_worker import ChatWorker, chat_worker
from tests.support.waiting import until


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counted_rooms, "WRITTEN_EVERY_S", 0.1)


@asynccontextmanager
async def counting(redis_url: str, workers: int = 1, **rule: int) -> AsyncIterator[list[ChatWorker]]:
    """Workers whose rooms are counted."""
    rules = RoomRules([RoomRule(match="**", join="anyone", members="count", members_max=rule.get("max", 0))])
    async with AsyncExitStack() as stack:
        entered = [chat_worker(redis_url, timeout_s=10.0, rules=rules) for _ in range(workers)]
        yield [await stack.enter_async_context(one) for one in entered]


async def count(worker: ChatWorker, room: str) -> int:
    return (await people_in(worker.store, [room]))[0]


async def written(worker: ChatWorker, room: str) -> dict[str, int]:
    """What each worker has said."""
    key = keys.counts(room)
    flat = await worker.store.call(key, "HGETALL", key)
    return {name.decode(): int(value.split()[0]) for name, value in zip(flat[::2], flat[1::2], strict=True)}


async def test_members_are_counted_over_all_workers_and_named_nowhere(redis_url: str, room: str) -> None:
    async with counting(redis_url, workers=2) as (one, two):
        clients = [worker.connect() for worker in (one, one, two)]
        joined = [await client.join(room, f"user-{at}") for at, client in enumerate(clients)]
        assert [each["count"] for each in joined][:2] == [1, 2]
        await _counted(two, room, 3)
        answer = await clients[0].call("members", {"room": room})
        assert (answer["ok"], answer["members"], answer["count"]) == (True, [], 3)
        assert await one.store.call(keys.users(room), "EXISTS", keys.users(room)) == 0
        assert sum((await written(one, room)).values()) == 3
        assert all(client.events("receive") == [] for client in clients), "nobody is announced"


async def _counted(worker: ChatWorker, room: str, number: int) -> None:
    async def is_so() -> bool:
        return await count(worker, room) == number

    await until(is_so, what=f"{number} are counted")


async def test_messages_and_positions_go_on_as_in_every_room(redis_url: str, room: str) -> None:
    async with counting(redis_url, workers=2) as (one, two):
        ann, ben = one.connect(), two.connect()
        await ann.join(room, "ann")
        await ben.join(room, "ben")
        sent = await ann.send(room, "hello")
        await until(lambda: ben.messages() == ["hello"], what="the message")
        unread = await ben.call("unread", {"rooms": [room]})
        assert sent["ok"]
        assert unread["ok"]


async def test_many_joins_cost_a_few_writes(
    redis_url: str, room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counted_rooms, "WRITTEN_EVERY_S", 1.0)
    async with counting(redis_url) as (worker,):
        before, begun_s = await _commands(worker, "hset"), time.monotonic()
        await asyncio.gather(*(worker.connect().join(room, f"user-{at}") for at in range(300)))
        await _counted(worker, room, 300)
        seconds = time.monotonic() - begun_s
        writes = await _commands(worker, "hset") - before
        assert len(await written(worker, room)) == 1
        key = keys.members(room, worker.name)
        assert await worker.store.call(key, "EXISTS", key) == 0
        assert writes <= 40 + 20 * seconds, "one number a second, beside what others on this server do"


async def _commands(worker: ChatWorker, name: str) -> int:
    """How often a command was executed, from scripts or not."""
    info = await worker.store.call(b"x", "INFO", "commandstats")
    line = next((one for one in info.decode().splitlines() if one.startswith(f"cmdstat_{name}:")), "calls=0,")
    return int(line.partition("calls=")[2].partition(",")[0])


async def test_who_leaves_or_drops_is_not_counted(redis_url: str, room: str) -> None:
    async with counting(redis_url) as (worker,):
        ann, ben, eve = (worker.connect() for _ in range(3))
        for at, client in enumerate((ann, ben, eve)):
            await client.join(room, f"user-{at}")
        await _counted(worker, room, 3)
        await ann.call("leave", {"room": room})
        ben.close()
        await _counted(worker, room, 1)
        eve.close()
        await _counted(worker, room, 0)
        assert await written(worker, room) == {}


async def test_who_joins_again_is_counted_once(redis_url: str, room: str) -> None:
    async with counting(redis_url) as (worker,):
        ann = worker.connect()
        answers = [await ann.join(room, "ann") for _ in range(3)]
        assert [answer["count"] for answer in answers] == [1, 1, 1]


async def test_a_full_room_takes_nobody_more(redis_url: str, room: str) -> None:
    async with counting(redis_url, max=2) as (worker,):
        ann, ben, eve = (worker.connect() for _ in range(3))
        assert (await ann.join(room, "ann"))["ok"]
        assert (await ben.join(room, "ben"))["ok"]
        assert (await eve.join(room, "eve"))["code"] == "room_full"
        assert (await ann.join(room, "ann"))["ok"], "who is in may join again"
        ben.close()
        assert (await eve.join(room, "eve"))["ok"]
        await _counted(worker, room, 2)


async def test_a_kicked_user_does_not_come_back(redis_url: str, room: str) -> None:
    async with counting(redis_url) as (worker,):
        ann = worker.connect()
        await ann.join(room, "ann")
        await worker.moderation.kick("mod", room, Target("", "ann"), 60.0)
        await until(lambda: bool(ann.events("removed")), what="ann is out")
        assert (await ann.join(room, "ann"))["code"] == "forbidden"
        await _counted(worker, room, 0)


async def test_the_number_of_a_dead_worker_is_swept_with_its_rooms(redis_url: str, room: str) -> None:
    async with counting(redis_url) as (worker,):
        events = _Told()
        await RoomCounts(worker.store, "dead").write([(room, 4000)])
        assert await count(worker, room) == 4000
        swept = await Presence(worker.store, worker.name, events).sweep(room, "dead")
        assert (swept.counted, swept.count, await count(worker, room)) == (4000, 0, 0)
        assert events.told == [(room, "", False, 0)]


async def test_a_number_that_nobody_renews_counts_no_longer(redis_url: str, room: str) -> None:
    async with counting(redis_url) as (worker,):
        key = keys.counts(room)
        old_s = int(time.time()) - 200
        await worker.store.call(key, "HSET", key, "gone", f"4000 {old_s}", "odd", "x")
        assert await count(worker, room) == 0
        await worker.connect().join(room, "ann")
        await _counted(worker, room, 1)
        assert set(await written(worker, room)) == {worker.name}
        assert await worker.store.call(key, "TTL", key) > 180


async def test_a_store_that_lost_the_numbers_is_told_again(redis_url: str, room: str) -> None:
    async with counting(redis_url) as (worker,):
        await worker.connect().join(room, "ann")
        await _counted(worker, room, 1)
        await worker.store.call(keys.counts(room), "DEL", keys.counts(room))
        worker.tracker.register_again()
        await _counted(worker, room, 1)


async def test_numbers_are_renewed(redis_url: str, room: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counted_rooms, "RENEWED_S", 0.3)
    async with counting(redis_url) as (worker,):
        await worker.connect().join(room, "ann")
        await _counted(worker, room, 1)
        await worker.store.call(keys.counts(room), "DEL", keys.counts(room))
        await _counted(worker, room, 1)


async def test_users_of_workers_of_before_count_too(redis_url: str, room: str) -> None:
    async with chat_worker(redis_url, timeout_s=10.0) as older, counting(redis_url) as (worker,):
        await older.connect().join(room, "old")
        ann = worker.connect()
        assert (await ann.join(room, "ann"))["count"] == 2
        await _counted(worker, room, 2)
        assert (await ann.call("members", {"room": room}))["count"] == 2
        assert (await Census(worker.store, 15.0).room(room)).users == 2


async def test_webhooks_are_told_that_somebody_is_there(redis_url: str, room: str) -> None:
    async with counting(redis_url) as (worker,):
        ann = worker.connect()
        await ann.join(room, "ann")
        await _counted(worker, room, 1)
        progress = HookProgress(worker.store, 60)
        assert (await progress.occupancy(room, "hook", 1, 0.0)).is_occupied
        ann.close()
        await _counted(worker, room, 0)
        assert not (await progress.occupancy(room, "hook", 1, 0.0)).is_occupied


class _Told:
    """Keeps what presence tells."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, bool, int]] = []

    def on_presence(self, room: str, username: str, is_here: bool, count: int) -> None:
        """Somebody came or went."""
        self.told.append((room, username, is_here, count))


async def test_a_room_is_occupied_with_its_first_session_and_vacated_with_its_last(
    redis_url: str, room: str
) -> None:
    async with counting(redis_url) as (worker,):
        events = _Told()
        one, two = RoomCounts(worker.store, "one", events), RoomCounts(worker.store, "two", events)
        for counts, number in ((one, 1), (two, 5), (one, 0), (two, 3), (two, 0)):
            assert await counts.write([(room, number)]) == [None]
        assert events.told == [(room, "", True, 1), (room, "", False, 0)]
