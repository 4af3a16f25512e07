"""Marks: where a message is stored, one is left; and one that is lost is left again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import hiredis
import pytest

from gateway.errors import StoreRefused, StoreUnavailable
from gateway.interfaces import Reply
from gateway.rooms.room import Room
from gateway.state.hook_queue import MEMBER, MESSAGES, OCCUPIED, HookQueue, Mark
from gateway.webhooks import marks as module
from gateway.webhooks.marks import COALESCED_S, LATE_S, LATELY_S, SWEEP_S, SWEPT_A_TURN, HookMarks
from gateway.webhooks.webhook import Webhook
from tests.support.waiting import until


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Written(HookQueue):
    """What would be written, and what the store says to it."""

    def __init__(self) -> None:
        self.left: list[Mark] = []
        self.again: list[Mark] = []
        self.reply: Reply = 1

    def mark(self, key: bytes, command: bytes, on_result: Callable[[Reply], None]) -> None:
        reader = hiredis.Reader()
        reader.feed(command)
        mark = Mark.read(reader.gets()[-1])
        assert mark is not None
        self.left.append(mark)
        on_result(self.reply)

    async def mark_all(self, marks: Sequence[Mark]) -> None:
        if isinstance(self.reply, StoreUnavailable | StoreRefused):
            raise self.reply
        self.again += marks


class Here:
    def __init__(self, *names: str) -> None:
        self.rooms = {name: Room(name, b"", lambda room: None) for name in names}


def hook(**more: object) -> Webhook:
    return Webhook(**{"name": "h", "url": "", "secrets": (), "rooms": ("tea", "tea:*"), **more})  # type: ignore[arg-type]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def written() -> Written:
    return Written()


@pytest.fixture
def marks(written: Written, clock: Clock) -> HookMarks:
    return HookMarks(written, [hook()], clock)


def test_a_room_is_marked_with_its_first_message_and_then_now_and_then(
    marks: HookMarks, written: Written, clock: Clock
) -> None:
    for _ in range(100):
        marks.will_publish("tea")
        clock.now_s += COALESCED_S / 49
    assert written.left == [Mark(MESSAGES, "tea")] * 3


def test_a_room_that_no_webhook_is_about_is_not_marked(marks: HookMarks, written: Written) -> None:
    assert not marks.will_publish("coffee")
    marks.on_presence("coffee", "ann", True, 1)
    assert written.left == []


def test_a_message_that_was_answered_late_is_marked_again(marks: HookMarks, written: Written) -> None:
    assert marks.will_publish("tea")
    marks.published("tea", LATE_S * 0.9)
    assert len(written.left) == 1
    marks.published("tea", LATE_S * 1.1)
    assert len(written.left) == 2


def test_the_first_in_and_the_last_out_are_about_the_room_and_all_about_members(written: Written) -> None:
    marks = HookMarks(written, [hook(events=("room",))])
    for is_here, count in ((True, 1), (True, 2), (False, 1), (False, 0)):
        marks.on_presence("tea", "ann", is_here, count)
    assert written.left == [Mark(OCCUPIED, "tea")] * 2
    written.left.clear()
    marks = HookMarks(written, [hook(events=("member",))])
    marks.on_presence("tea", "ann", True, 2)
    assert written.left == [Mark(MEMBER, "tea", "ann")]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TURN_S", 0.001)


async def test_what_the_store_did_not_take_is_marked_until_it_does(
    marks: HookMarks, written: Written, quick: None
) -> None:
    written.reply = StoreUnavailable("away")
    marks.will_publish("tea")
    running = asyncio.create_task(marks.run(Here()))
    await asyncio.sleep(0.02)
    assert written.again == []
    written.reply = 1
    await until(lambda: written.again == [Mark(MESSAGES, "tea")], 5)
    running.cancel()


async def test_after_a_failover_what_was_marked_lately_is_marked_again(
    marks: HookMarks, written: Written, clock: Clock, quick: None
) -> None:
    marks.will_publish("tea:old")
    clock.now_s += LATELY_S + 1
    marks.will_publish("tea:new")
    marks.on_presence("tea:new", "ann", True, 1)
    marks.on_restored()
    running = asyncio.create_task(marks.run(Here()))
    await until(lambda: len(written.again) == 3, 5)
    running.cancel()
    assert set(written.again) == {
        Mark(MESSAGES, "tea:new"), Mark(OCCUPIED, "tea:new"), Mark(MEMBER, "tea:new", "ann"),
    }  # fmt: skip


async def test_rooms_of_this_worker_are_marked_from_time_to_time_a_few_at_once(
    marks: HookMarks, written: Written, clock: Clock, quick: None
) -> None:
    names = [f"tea:{number}" for number in range(SWEPT_A_TURN + 7)]
    running = asyncio.create_task(marks.run(Here("coffee", *names)))
    await asyncio.sleep(0.02)
    assert written.again == []
    clock.now_s += SWEEP_S
    await until(lambda: len(written.again) == 2 * len(names), 5, "messages and state of each")
    running.cancel()
    assert {mark.room for mark in written.again} == set(names)


def test_what_is_remembered_is_bounded(
    written: Written, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KNOWN_MAX", 300)
    marks = HookMarks(written, [hook(rooms=("**",))], clock)
    for number in range(1000):
        marks.will_publish(f"room-{number}")
        marks.on_presence(f"room-{number}", "ann", True, 1)
        if number % 100 == 0:
            marks._forget()
    marks.on_restored()
    marks._forget()
    sizes = [
        len(marks._wanted),
        len(marks._marked),
        len(marks._of_messages),
        len(marks._again),
    ]
    assert max(sizes) <= 500, sizes
