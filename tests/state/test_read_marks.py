"""Marks of what was read, in the store: only forward, never ahead of the room, for so many users and so long."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest
import redis.asyncio as redis

from gateway import keys
from gateway.errors import StoreError
from gateway.option_groups import PublishOptions
from gateway.protocol import Position
from gateway.redis.commands import PrimaryCommands
from gateway.state.keeping import KeptAlike
from gateway.state.read_marks import USERS_MAX, Marked, Marking, ReadMarks, RoomRead
from tests.support.stores import connected_store


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[PrimaryCommands]:
    async with connected_store(redis_url) as store:
        yield store


@pytest.fixture
def marks(store: PrimaryCommands) -> ReadMarks:
    return ReadMarks(store, KeptAlike(PublishOptions()))


async def at(client: redis.Redis, room: str, epoch: str, seq: int) -> None:
    """The room is there now."""
    await client.hset(keys.meta(room), mapping={"epoch": epoch, "seq": seq})


async def unread(marks: ReadMarks, room: str, user: str = "42") -> RoomRead:
    (read,) = await marks.unread([room], user)
    assert isinstance(read, RoomRead)
    return read


async def test_unread_is_a_subtraction(marks: ReadMarks, client: redis.Redis, room: str) -> None:
    await at(client, room, "e", 12)
    assert await unread(marks, room) == RoomRead(Position("e", 12), None, 12), "never marked: all"
    assert await marks.mark(room, "42", Position("e", 9)) == Marked(Marking.STORED, 3)
    await at(client, room, "e", 20)
    assert await unread(marks, room) == RoomRead(Position("e", 20), Position("e", 9), 11)
    assert await unread(marks, room, "7") == RoomRead(Position("e", 20), None, 20)
    assert await unread(marks, room, "") == RoomRead(Position("e", 20), None, None), "a guest has no marks"


async def test_a_mark_only_moves_forward(marks: ReadMarks, client: redis.Redis, room: str) -> None:
    await at(client, room, "e", 12)
    await marks.mark(room, "42", Position("e", 9))
    assert await marks.mark(room, "42", Position("e", 4)) == Marked(Marking.BEHIND, 3)
    assert await marks.mark(room, "42", Position("e", 9)) == Marked(Marking.BEHIND, 3)
    assert await client.hgetall(keys.read(room)) == {b"42": b"e:9"}


@pytest.mark.parametrize("seq", [13, 10**15, 10**60])
async def test_nobody_has_read_what_is_still_to_come(
    marks: ReadMarks, client: redis.Redis, room: str, seq: int
) -> None:
    await at(client, room, "e", 12)
    assert await marks.mark(room, "42", Position("e", seq)) == Marked(Marking.STORED, 0)
    assert await client.hget(keys.read(room), "42") == b"e:12"


async def test_in_another_epoch_nobody_knows_what_is_unread(
    marks: ReadMarks, client: redis.Redis, room: str
) -> None:
    await at(client, room, "e1", 12)
    await marks.mark(room, "42", Position("e1", 9))
    await at(client, room, "e2", 3)
    assert await unread(marks, room) == RoomRead(Position("e2", 3), Position("e1", 9), None)
    assert await marks.mark(room, "42", Position("e1", 12)) == Marked(Marking.ANOTHER_EPOCH, None)
    assert await client.hget(keys.read(room), "42") == b"e1:9", "it is kept"
    assert await marks.mark(room, "42", Position("e2", 2)) == Marked(Marking.STORED, 1)
    assert await unread(marks, room) == RoomRead(Position("e2", 3), Position("e2", 2), 1)


async def test_a_room_that_is_not_there_gets_no_marks(
    marks: ReadMarks, client: redis.Redis, room: str
) -> None:
    assert await unread(marks, room) == RoomRead(None, None, 0)
    assert await marks.mark(room, "42", Position("e", 1)) == Marked(Marking.ANOTHER_EPOCH, None)
    assert not await client.exists(keys.read(room), keys.meta(room), keys.history(room))


async def test_what_the_old_service_wrote_is_unread(marks: ReadMarks, client: redis.Redis, room: str) -> None:
    await client.rpush(keys.history(room), *["{}"] * 5)
    assert await unread(marks, room) == RoomRead(None, None, 5)


async def test_marks_are_kept_as_long_as_the_position(
    marks: ReadMarks, client: redis.Redis, room: str
) -> None:
    await at(client, room, "e", 12)
    ttl_s = PublishOptions().position_ttl_s
    for seq in (3, 3, 2):
        await client.expire(keys.read(room), 5)
        await marks.mark(room, "42", Position("e", seq))
        assert ttl_s - 60 <= await client.ttl(keys.read(room)) <= ttl_s


async def test_so_many_users_have_marks_and_no_more(marks: ReadMarks, client: redis.Redis, room: str) -> None:
    await at(client, room, "e", 12)
    await client.hset(keys.read(room), mapping={f"u{number}": "e:1" for number in range(USERS_MAX)})
    assert await marks.mark(room, "42", Position("e", 9)) == Marked(Marking.TOO_MANY_USERS, 3)
    assert await unread(marks, room) == RoomRead(Position("e", 12), None, None), "nobody knows"
    assert await marks.mark(room, "u7", Position("e", 9)) == Marked(Marking.STORED, 3), "who has one keeps it"
    assert await client.hlen(keys.read(room)) == USERS_MAX
    await client.delete(keys.read(room))


async def test_many_rooms_are_read_at_once_and_a_broken_one_alone_fails(
    marks: ReadMarks, client: redis.Redis, room: str
) -> None:
    rooms = [f"{room}-{number}" for number in range(200)]
    for number, name in enumerate(rooms):
        await at(client, name, "e", number)
        await client.expire(keys.meta(name), 60)
    await client.set(keys.read(rooms[7]), "no hash", ex=60)
    found = await marks.unread(rooms, "42")
    assert isinstance(found[7], StoreError)
    assert [read.unread for read in found if isinstance(read, RoomRead)] == [n for n in range(200) if n != 7]


class Recount:
    """A room and its users' marks, counted message by message."""

    def __init__(self) -> None:
        self.epoch, self.messages = 0, 0
        self.marks: dict[str, tuple[int, int]] = {}

    def unread(self, user: str) -> int | None:
        if user not in self.marks:
            return self.messages
        epoch, mark = self.marks[user]
        if epoch != self.epoch:
            return None
        return sum(1 for number in range(1, self.messages + 1) if number > mark)

    def mark(self, user: str, epoch: int, seq: int) -> None:
        if epoch == self.epoch:
            before, mark = self.marks.get(user, (epoch, -1))
            self.marks[user] = (epoch, max(min(seq, self.messages), mark if before == epoch else -1))


async def recounted(marks: ReadMarks, client: redis.Redis, room: str, checks: int, seed: int) -> None:
    chance, truth = random.Random(seed), Recount()
    users = [f"u{number}" for number in range(8)]
    await at(client, room, "e0", 0)
    done = 0
    while done < checks:
        step = chance.random()
        if step < 0.3:
            truth.messages += chance.randrange(4)
        elif step < 0.31:
            truth.epoch, truth.messages = truth.epoch + 1, chance.randrange(5)
        await at(client, room, f"e{truth.epoch}", truth.messages)
        user, epoch = chance.choice(users), truth.epoch - (chance.random() < 0.05)
        if epoch >= 0 and chance.random() < 0.5:
            seq = max(0, truth.messages + chance.randrange(-6, 3))
            truth.mark(user, epoch, seq)
            await marks.mark(room, user, Position(f"e{epoch}", seq))
        for each in chance.sample(users, 4):
            assert (await unread(marks, room, each)).unread == truth.unread(each)
            done += 1
        if truth.messages > 200:
            truth.epoch, truth.messages = truth.epoch + 1, 0
    await client.delete(keys.meta(room), keys.read(room))


async def test_unread_equals_a_recount(marks: ReadMarks, client: redis.Redis, room: str) -> None:
    await recounted(marks, client, room, 1_000, 1)


@pytest.mark.long
async def test_unread_equals_a_recount_100_000_times(
    marks: ReadMarks, client: redis.Redis, room: str
) -> None:
    await recounted(marks, client, room, 100_000, 2)
