"""Marks, leases and how far webhooks were told, in a real store."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from typing import Any

import pytest
import redis.asyncio as redis

from gateway import keys
from gateway.protocol import Position
from gateway.redis.commands import PrimaryCommands
from gateway.state.hook_progress import Fenced, HookProgress
from gateway.state.hook_queue import MEMBER, MESSAGES, OCCUPIED, PARTS, HookQueue, Mark, Move, part_of
from tests.support.hook_rooms import free_leases, say
from tests.support.script_times import shortest_us
from tests.support.waiting import until

NOW_US = 1e15
"""Fences are above any number of microseconds since 1970 that a clock has shown since 2001."""


@pytest.fixture
def hook() -> str:
    return f"h{uuid.uuid4().hex[:8]}"


@pytest.fixture
async def queue(store: PrimaryCommands, hook: str) -> HookQueue:
    return HookQueue(store, f"w-{hook}", [hook])


@pytest.fixture
def progress(store: PrimaryCommands) -> HookProgress:
    return HookProgress(store, 3600)


@pytest.mark.parametrize("mark", [Mark(MESSAGES, "tea"), Mark(OCCUPIED, "tëa"), Mark(MEMBER, "tea", "ann b")])
def test_a_mark_is_read_as_it_was_written(mark: Mark) -> None:
    assert Mark.read(mark.name) == mark


@pytest.mark.parametrize("name", [b"", b"m", b"x", b"xtea\n", b"\xff\xfe", b"m\n"])
def test_what_is_no_mark_is_none(name: bytes) -> None:
    assert Mark.read(name) is None


def test_rooms_are_spread_over_all_sixteenths() -> None:
    counts = [0] * PARTS
    for number in range(16_000):
        counts[part_of(f"room-{number}")] += 1
    assert min(counts) > 800


async def test_a_lease_is_one_workers_until_it_ends_or_is_given_back(
    store: PrimaryCommands, client: redis.Redis, hook: str
) -> None:
    part = 3
    one, two = HookQueue(store, f"one-{hook}", [hook]), HookQueue(store, f"two-{hook}", [hook])
    await free_leases(client)
    fence = await one.lease(part, 0.15)
    assert fence > NOW_US
    assert await one.lease(part, 0.15) == fence, "it keeps its number"
    assert await two.lease(part, 5) == 0
    taken: list[int] = []

    async def is_taken() -> bool:
        taken.append(await two.lease(part, 5))
        return taken[-1] > 0

    await until(is_taken, 5)
    assert taken[-1] > fence
    assert await one.lease(part, 5) == 0
    await one.give_back(part)  # it is not its own
    assert await one.lease(part, 5) == 0
    await two.give_back(part)
    assert await one.lease(part, 5) > taken[-1]
    assert await one.lease(part, 5, above=taken[-1] + 10**9) == taken[-1] + 10**9 + 1
    await one.give_back(part)
    assert 0 < await client.ttl(keys.hook_lease(part)) <= 7 * 24 * 3600


async def test_marks_are_handed_over_under_the_lease_only(
    queue: HookQueue, client: redis.Redis, hook: str, room: str
) -> None:
    mark = Mark(MESSAGES, room)
    part = mark.part
    await free_leases(client)
    fence = await queue.lease(part, 60)
    await queue.mark_all([mark])
    assert await queue.marks([part]) == [[mark.name]]
    assert not await queue.move(part, fence - 1, [Move(mark.name, (0,))])
    assert await queue.marks([part]) == [[mark.name]]
    assert await queue.move(part, fence, [Move(mark.name, (0,))])
    assert await queue.marks([part]) == [[]]
    ((name, since_s),) = await queue.pending(part, hook, 10)
    assert name == mark.name
    assert abs(time.time() - since_s) < 5
    await queue.done(part, fence - 1, hook, [mark.name])
    assert await queue.pending_count(part, hook) == 1
    await queue.done(part, fence, hook, [mark.name])
    assert await queue.pending_count(part, hook) == 0
    await queue.give_back(part)


async def test_workers_that_can_post_are_counted_until_they_go_or_say_nothing(
    store: PrimaryCommands, hook: str
) -> None:
    one, two = HookQueue(store, f"one-{hook}", [hook]), HookQueue(store, f"two-{hook}", [hook])
    before = await one.workers(60) - 1
    assert await two.workers(60) == before + 2
    assert await two.workers(60, goes=True) == before + 1
    await one.workers(60, goes=True)


async def test_a_webhook_is_known_since_it_was_first_heard_of(queue: HookQueue) -> None:
    (first,) = await queue.known_since_ms()
    await asyncio.sleep(0.01)
    assert await queue.known_since_ms() == [first]
    assert abs(first - time.time() * 1000) < 5000


async def test_messages_are_read_after_those_that_were_told(
    progress: HookProgress, client: redis.Redis, hook: str, room: str
) -> None:
    await say(client, room, "one", "two", "three")
    found = await progress.unread(room, hook, 5, 2)
    assert (found.newest, found.oldest_seq, found.told, found.first_seq) == (Position("a", 3), 1, None, 1)
    assert len(found.entries) == 2
    await progress.advance(room, hook, 5, Position("a", 2), {})
    found = await progress.unread(room, hook, 5, 9)
    assert (found.told, found.first_seq, len(found.entries)) == (Position("a", 2), 3, 1)
    await client.ltrim(keys.history(room), 2, -1)
    await progress.advance(room, hook, 5, Position("a", 3), {}, Position("a", 1))
    found = await progress.unread(room, hook, 5, 9)
    assert (found.told, found.missed, found.entries) == (Position("a", 3), Position("a", 1), [])
    await progress.advance(room, hook, 5, Position("a", 3), {})
    assert (await progress.unread(room, hook, 5, 9)).missed is None
    assert 0 < await client.ttl(keys.hooked(room, hook)) <= 3600


async def test_progress_never_goes_back_and_takes_nothing_of_a_lower_fence(
    progress: HookProgress, client: redis.Redis, hook: str, room: str
) -> None:
    await say(client, room, "one", "two", "three")
    await progress.advance(room, hook, 5, Position("a", 3), {})
    await progress.advance(room, hook, 5, Position("a", 1), {})
    assert (await progress.unread(room, hook, 6, 9)).told == Position("a", 3)
    with pytest.raises(Fenced):
        await progress.advance(room, hook, 5, Position("a", 3), {})
    with pytest.raises(Fenced) as fenced:
        await progress.unread(room, hook, 5, 9)
    assert fenced.value.fence == 6
    with pytest.raises(Fenced):
        await progress.occupancy(room, hook, 5, 0)
    with pytest.raises(Fenced):
        await progress.occupancy_told(room, hook, 5, 1)


async def test_what_is_known_beside_messages_and_their_changes_is_read(
    progress: HookProgress, client: redis.Redis, hook: str, room: str
) -> None:
    await say(client, room, "one", "two", "three")
    await client.hset(keys.more(room), mapping={"1": '{"user":"1"}', "3": '{"user":"42"}'})
    await client.hset(keys.meta(room), "more", "0")
    await progress.advance(room, hook, 5, Position("a", 2), {})
    found = await progress.unread(room, hook, 5, 9)
    assert found.more == {3: b',"user":"42"'}
    changed = '{"user":"1","changed":{"kind":"redacted","by":"mod","at":77}}'
    await client.hset(keys.more(room), "1", changed)
    await client.hset(keys.meta(room), "more", "1")
    found = await progress.unread(room, hook, 5, 9)
    assert {seq: each.at_ms for seq, each in found.changes.items()} == {1: 77}
    assert json.loads(found.texts[1])["message"] == "one"
    await progress.advance(room, hook, 5, Position("a", 2), {1: 77})
    assert (await progress.unread(room, hook, 5, 9)).known == {1: 77}


async def test_who_is_there_is_told_with_ever_higher_versions_and_flaps_are_silent(
    progress: HookProgress, client: redis.Redis, hook: str, room: str
) -> None:
    nobody = await progress.occupancy(room, hook, 1, 0)
    assert (nobody.is_occupied, nobody.version, nobody.told_version) == (False, 0, 0)
    await client.hset(keys.users(room), "ann", 1)
    here = await progress.occupancy(room, hook, 1, 60)
    assert here.is_occupied
    assert here.version > 0 == here.told_version
    await progress.occupancy_told(room, hook, 1, here.version)
    assert (await progress.occupancy(room, hook, 1, 60)).told_version == here.version
    await client.delete(keys.users(room))
    gone = await progress.occupancy(room, hook, 1, 60)
    assert (gone.is_occupied, gone.version) == (True, here.version)
    assert 50 < gone.wait_s <= 60
    await client.hset(keys.users(room), "ann", 1)
    assert (await progress.occupancy(room, hook, 1, 60)).wait_s == 0, "back again"
    await client.delete(keys.users(room))
    left = await progress.occupancy(room, hook, 1, 0)
    assert not left.is_occupied
    assert left.version > here.version
    is_here, version = await progress.is_member(room, "ann")
    assert not is_here
    assert version > left.version
    await client.delete(keys.occupied(room))
    await client.hset(keys.users(room), "ann", 1)
    assert (await progress.occupancy(room, hook, 1, 0)).version > here.version, "though the store has lost it"


@pytest.mark.parametrize("users", [100, 100_000])
async def test_no_script_takes_longer_than_two_milliseconds(
    progress: HookProgress, client: redis.Redis, hook: str, users: int, room: str
) -> None:
    for at in range(0, users, 10_000):
        await client.hset(
            keys.users(room), mapping={f"user-{n}": 1 for n in range(at, min(users, at + 10_000))}
        )
    await say(client, room, *["x" * 2000] * 100)
    more: Any = {
        str(seq): '{"user":"1","changed":{"kind":"edited","by":"m","at":7}}' for seq in range(1, 101)
    }
    await client.hset(keys.more(room), mapping=more)
    await client.hset(keys.meta(room), "more", "100")
    await progress.advance(room, hook, 1, Position("a", 50), {})
    attempts = {
        "unread": lambda: progress.unread(room, hook, 1, 100),
        "occupancy": lambda: progress.occupancy(room, hook, 1, 3),
        "is_member": lambda: progress.is_member(room, "user-7"),
    }
    for name, attempt in attempts.items():
        assert await shortest_us(client, attempt, f"{name}, {users} users") < 2000
    await client.delete(keys.users(room))
