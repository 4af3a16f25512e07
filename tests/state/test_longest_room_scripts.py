"""What rooms ask of Redis at the largest sizes that the limits allow: messages, changes, histories, marks, webhooks."""

from __future__ import annotations

import asyncio
import itertools

import pytest
import redis.asyncio as redis

from gateway import keys
from gateway.errors import StoreError
from gateway.option_groups import PublishOptions
from gateway.protocol import Position, entry_head
from gateway.redis.commands import PrimaryCommands
from gateway.rooms.publish_commands import Once
from gateway.rooms.publisher import Publisher
from gateway.rooms.room import Room
from gateway.rooms.routes import RoomRoute
from gateway.state.changing import EDITED, TextChange, change_text
from gateway.state.history import NO_POSITION, Histories, Observed
from gateway.state.hook_progress import HookProgress
from gateway.state.hook_queue import MESSAGES, MOVED_AT_ONCE, HookQueue, Mark, Move, part_of
from gateway.state.keeping import KeptAlike
from gateway.state.read_marks import USERS_MAX, ReadMarks
from tests.support.script_times import fill, shortest_us

Own = tuple[PrimaryCommands, redis.Redis]

pytestmark = pytest.mark.system  # a server of its own

LONGEST_US = 2000
MESSAGE, KEPT = "x" * 16_384, 100
MORE = b'"user":"ada","meta":{"a":"%b"}' % (b"y" * 900)


class Speaker:
    """Says the longest messages in one room, whose history is full."""

    def __init__(self, store: PrimaryCommands, room: str) -> None:
        self.options = PublishOptions()
        self.publisher = Publisher(store, RoomRoute(), self.options)
        self.room = Room(room, keys.live(room), lambda opened: None)
        self._numbers = itertools.count()

    async def say(self, more: bytes = b"", is_once: bool = False) -> Position:
        once = Once("ada", "ann", f"key-{next(self._numbers)}", MESSAGE) if is_once else None
        result: asyncio.Future[str | StoreError] = asyncio.get_running_loop().create_future()
        self.publisher.publish(self.room, entry_head(MESSAGE, "ann"), once, result.set_result, None, more)
        found = await result
        assert isinstance(found, str), found
        epoch, _, seq = found.partition(":")
        return Position(epoch, int(seq))

    async def fill(self, more: bytes = b"") -> Position:
        for _ in range(KEPT):
            last = await self.say(more)
        return last


@pytest.mark.parametrize("more", [b"", MORE], ids=["plain", "more"])
async def test_the_longest_messages_in_a_full_room(more: bytes, own: Own, room: str) -> None:
    store, client = own
    speaker = Speaker(store, room)
    last = await speaker.fill(more)
    what = "with more" if more else "plain"
    assert await shortest_us(client, lambda: speaker.say(more), f"publish {what}") < LONGEST_US
    assert await shortest_us(client, lambda: speaker.say(more, True), f"publish once {what}") < LONGEST_US
    histories = Histories(store, 600, keeping=KeptAlike(speaker.options))
    observed = Observed(NO_POSITION)
    assert (
        await shortest_us(client, lambda: histories.snapshot(room, observed), f"snapshot {what}") < LONGEST_US
    )
    channel, texts = (
        speaker.publisher.channel(room, "changed"),
        itertools.cycle(["1" + MESSAGE, "2" + MESSAGE]),
    )

    async def change() -> None:
        await change_text(store, channel, TextChange(room, last, EDITED, next(texts), "ada"))

    assert await shortest_us(client, change, f"change {what}") < LONGEST_US
    progress = HookProgress(store, 600)
    assert (
        await shortest_us(client, lambda: progress.unread(room, "app", 1, KEPT), f"hook_read {what}")
        < LONGEST_US
    )


async def test_as_many_marks_of_what_was_read_as_there_may_be(own: Own, room: str) -> None:
    store, client = own
    speaker = Speaker(store, room)
    last = await speaker.fill()
    await fill(client, keys.read(room), {f"user-{number}": f"{last.epoch}:1" for number in range(USERS_MAX)})
    marks, numbers = ReadMarks(store, KeptAlike(speaker.options)), itertools.count()

    async def mark() -> None:
        await marks.mark(room, f"user-{next(numbers)}", last)
        await marks.mark(room, f"other-{next(numbers)}", last)

    assert await shortest_us(client, mark, "mark_read") < LONGEST_US


async def test_what_webhooks_must_be_told_of_very_many_rooms(own: Own, room: str) -> None:
    store, client = own
    queue, part = HookQueue(store, "here", ["app", "other"]), part_of(room)
    fence = await queue.lease(part, 600.0)
    names = [Mark(MESSAGES, f"{room}-{number}").name for number in range(50_000)]
    for at in range(0, len(names), 5_000):
        await client.sadd(keys.hook_marks(part), *names[at : at + 5_000])
        await client.zadd(
            keys.hook_pending(part, "app"),
            dict.fromkeys((each.decode() for each in names[at : at + 5_000]), 1),
        )
    moved = (names[at : at + MOVED_AT_ONCE] for at in range(0, len(names), MOVED_AT_ONCE))

    async def move() -> None:
        assert await queue.move(part, fence, [Move(name, (0, 1)) for name in next(moved)])

    async def done() -> None:
        await queue.done(part, fence, "app", next(moved))

    assert await shortest_us(client, move, "hook_move") < LONGEST_US
    assert await shortest_us(client, done, "hook_done") < LONGEST_US
    assert await shortest_us(client, lambda: queue.lease(part, 600.0), "hook_lease") < LONGEST_US


async def test_what_webhooks_are_told_of_a_very_large_room(own: Own, room: str) -> None:
    store, client = own
    await fill(client, keys.users(room), {f"user-{number}": "1" for number in range(10_000)})
    await fill(client, keys.counts(room), {f"worker-{number}": "250 9999999999" for number in range(400)})
    progress, position = HookProgress(store, 600), Position("e1", 5)
    known = dict.fromkeys(range(1, KEPT + 1), 1_700_000_000_000)
    assert (
        await shortest_us(client, lambda: progress.occupancy(room, "app", 1, 2.0), "hook_occupied")
        < LONGEST_US
    )
    assert await shortest_us(client, lambda: progress.is_member(room, "user-7"), "hook_member") < LONGEST_US
    assert (
        await shortest_us(client, lambda: progress.advance(room, "app", 1, position, known), "hook_advance")
        < LONGEST_US
    )
    assert (
        await shortest_us(client, lambda: progress.occupancy_told(room, "app", 1, 3), "hook_told")
        < LONGEST_US
    )
