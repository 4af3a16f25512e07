"""What webhooks cost a publish: nothing without them, and next to nothing with them."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import pytest
import redis.asyncio as redis

from gateway import keys
from gateway.interfaces import CommandStore, OnReply
from gateway.option_groups import PublishOptions
from gateway.protocol import entry_head
from gateway.redis.commands import PrimaryCommands
from gateway.rooms.publisher import Publisher
from gateway.rooms.room import Room
from gateway.rooms.routes import RoomRoute
from gateway.state.batches import BATCH
from gateway.state.hook_queue import HookQueue, part_of
from gateway.webhooks.marks import HookMarks
from gateway.webhooks.webhook import Webhook
from tests.support.hook_rooms import free_leases

HOOK = Webhook(name="cost", url="http://127.0.0.1/", secrets=())


class Recording(PrimaryCommands):
    """Keeps what was submitted."""

    def __init__(self) -> None:
        self.submitted: list[bytes] = []

    has_origins = False

    def submit(self, key: bytes, command: bytes, on_reply: OnReply) -> None:
        self.submitted.append(command)


def publisher(store: CommandStore, is_told: bool) -> Publisher:
    marks = HookMarks(HookQueue(store, "w", ["cost"]), [HOOK]) if is_told else None
    return Publisher(store, RoomRoute(), PublishOptions(), outbox=marks)


def room_of(name: str) -> Room:
    return Room(name, keys.live(name), lambda room: None)


def test_without_webhooks_a_publish_is_one_command_and_with_them_the_mark_is_before_it() -> None:
    store, room = Recording(), room_of("tea")
    publisher(store, False).publish(room, entry_head("hello", "ann"), None, lambda result: None)
    (alone,) = store.submitted
    store.submitted.clear()
    publisher(store, True).publish(room, entry_head("hello", "ann"), None, lambda result: None)
    mark, message = store.submitted
    assert mark.startswith(b"*3\r\n$4\r\nSADD\r\n")
    assert message == alone, "not a byte more"


@pytest.mark.long
@pytest.mark.parametrize("rooms", [1, 100, 5000])
async def test_a_publish_costs_at_most_a_twentieth_more(
    store: PrimaryCommands, redis_url: str, room: str, rooms: int
) -> None:
    client = redis.Redis.from_url(redis_url)
    await free_leases(client)
    all_rooms = [room_of(f"{room}-{number}") for number in range(rooms)]
    without, with_them = publisher(store, False), publisher(store, True)

    async def cpu_s() -> tuple[float, float]:
        used = await client.info("cpu")
        return time.process_time(), float(used["used_cpu_user"]) + float(used["used_cpu_sys"])

    async def cost_us(by: Publisher, messages: int = 10_000) -> tuple[float, float]:
        """Processor time of a publish here and in Redis."""
        ours_s, redis_s = await cpu_s()
        await publish_all(by, all_rooms, messages)
        ours_after_s, redis_after_s = await cpu_s()
        return (ours_after_s - ours_s) / messages * 1e6, (redis_after_s - redis_s) / messages * 1e6

    await cost_us(without), await cost_us(with_them)
    pairs = []
    for turn in range(12):  # interleaved, and by turns the one or the other first
        if turn % 2:
            after, before = await cost_us(with_them), await cost_us(without)
        else:
            before, after = await cost_us(without), await cost_us(with_them)
        pairs.append((before, after))
    # The least of each is the machine's least noise: nothing makes a run cheaper than it is.
    alone_us = [min(before[place] for before, _ in pairs) for place in range(2)]
    told_us = [min(after[place] for _, after in pairs) for place in range(2)]
    ratio = sum(told_us) / sum(alone_us)
    for place, where in enumerate(("here", "in Redis")):
        print(
            f"{rooms} rooms: {where} {alone_us[place]:.1f} µs without, {told_us[place]:.1f} µs with webhooks"
        )
    print(f"{rooms} rooms: both together {ratio:.3f} times")
    for part in {part_of(each.name) for each in all_rooms}:
        await client.delete(keys.hook_marks(part))
    for each in all_rooms:
        await client.delete(keys.history(each.name), keys.meta(each.name))
    await client.aclose()
    # Where each message goes to another room each leaves a mark. That is a twentieth of a whole publish, but more of
    # what is measured here (tests/system/test_webhooks_cost.py measures the whole).
    assert ratio <= (1.05 if rooms <= 100 else 1.2)


async def publish_all(by: Publisher, rooms: list[Room], messages: int) -> None:
    """Batch after batch, each in one write and waited for without polling: that would be counted, too."""
    head = entry_head("hello everybody, this is a message", "ann")
    for at in range(0, messages, BATCH):
        done, left = asyncio.Event(), [BATCH]

        def on_result(room: Room, done: asyncio.Event, left: list[int], result: object) -> None:
            assert isinstance(result, str)
            if not room.epoch:  # as it would have heard: a room whose epoch is unknown costs more
                room.epoch = result.partition(":")[0]
            left[0] -= 1
            if not left[0]:
                done.set()

        for number in range(at, at + BATCH):
            room = rooms[number % len(rooms)]
            by.publish(room, head, None, partial(on_result, room, done, left))
        await done.wait()
