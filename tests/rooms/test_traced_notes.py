"""Notes of traces on rooms' channels: what is traced is told, what is not costs not a byte, and what others publish
there harms nobody."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import orjson
import pytest
import redis.asyncio as redis

from gateway import keys
from gateway.errors import StoreError
from gateway.interfaces import OnReply
from gateway.metrics import malformed
from gateway.option_groups import PublishOptions
from gateway.protocol import entry_head
from gateway.redis.commands import PrimaryCommands
from gateway.rooms import traced_notes
from gateway.rooms.outcomes import StoredBefore
from gateway.rooms.publish_commands import Once
from gateway.rooms.publisher import Publisher
from gateway.rooms.room import Room
from gateway.rooms.routes import ClusterRoute, RoomRoute, Route, SharedRoute
from gateway.rooms.traced_notes import WAITING_MAX, Deliveries, Note, note_around, parse_note
from gateway.rooms.traced_publisher import TracedPublisher
from gateway.tracing import CallSpan, Delivery
from tests.support.recorder import live_member
from tests.support.room_by_hand import RoomByHand, live
from tests.support.waiting import until

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
HEAD = entry_head("hello", "ann")


class HandSpan:
    """A span of a store that keeps how it ended."""

    traceparent = TRACEPARENT.encode()

    def __init__(self) -> None:
        self.results: list[str | StoreError] = []

    def end(self, result: str | StoreError) -> None:
        self.results.append(result)


class HandCall:
    """A call that nobody refuses."""

    def refuse(self, code: str, status: int) -> None:
        raise AssertionError(code)


class HandTracing:
    """Traces if it is told to, and keeps what was delivered."""

    def __init__(self, traces: bool = True) -> None:
        self.traces = traces
        self.spans: list[HandSpan] = []
        self.deliveries: list[Delivery] = []

    @contextmanager
    def call(self, method: str, path: str, trace: tuple[str, str]) -> Iterator[CallSpan]:
        yield HandCall()

    def begin_store(self) -> HandSpan | None:
        if not self.traces:
            return None
        self.spans.append(HandSpan())
        return self.spans[-1]

    def delivered(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)


class Recording(PrimaryCommands):
    """Keeps what was submitted."""

    has_origins = False

    def __init__(self) -> None:
        self.submitted: list[bytes] = []

    def submit(self, key: bytes, command: bytes, on_reply: OnReply) -> None:
        self.submitted.append(command)


def note(position: str) -> bytes:
    return f"!traced:{TRACEPARENT}:{position}".encode()


def room_of(name: str) -> Room:
    return Room(name, keys.live(name), lambda room: None)


@pytest.mark.parametrize(
    "route", [RoomRoute(), SharedRoute(), ClusterRoute()], ids=["per-room", "shared", "cluster"]
)
@pytest.mark.parametrize("name", ["tea", '"],*"', "a*b:c", "茶"])
def test_a_note_comes_back_from_each_route_as_it_was_made(route: Route, name: str) -> None:
    before, after = note_around(route, name, TRACEPARENT.encode())
    payload = before + b"a:7" + after
    found = route.unwrap(route.channel(name), payload)
    assert found is not None
    assert (found[0] == keys.live(name), parse_note(found[1])) == (True, Note(TRACEPARENT, "a:7"))
    if isinstance(route, SharedRoute):  # no event: a stock server on the channel tells its clients nothing
        assert orjson.loads(payload)["method"] == "position"


@pytest.mark.parametrize(
    "payload",
    [
        b"!traced:",
        note("a"),
        note("a:"),
        note("a:x"),
        note("a:" + "1" * 19),
        note("a:1 {}"),
        note("a" * 65 + ":1"),
        b"!traced:00-zz-b7ad6b7169203331-01:a:1",
        b"!traced:" + b"0" * 100_000,
        note("\udcff:1".encode("utf-8", "replace").decode()) + b"\xff",
        b"!traced:" + TRACEPARENT.encode() + b":\xff:1",
    ],
    ids=range(11),
)  # fmt: skip
def test_what_is_no_note_is_left_out_and_the_messages_beside_it_come(payload: bytes) -> None:
    hand, tracing = RoomByHand().at(2), HandTracing()
    _, ann = live_member(hand.room)
    Deliveries(tracing).hand_on(hand.room, [live(3), payload, live(4)])
    assert (ann.texts(), tracing.deliveries, hand.reads) == (["a3", "a4"], [], 0)


def test_messages_of_one_read_leave_in_one_write_and_the_traced_ones_are_told() -> None:
    hand, tracing = RoomByHand().at(2), HandTracing()
    _, ann = live_member(hand.room)
    live_member(hand.room, "ben")
    Deliveries(tracing).hand_on(hand.room, [live(3), note("a:4"), live(4), note("a:5"), live(5), live(6)])
    assert (ann.texts(), ann.writes) == (["a3", "a4", "a5", "a6"], 1)
    told = [(each.position, each.members, each.is_live) for each in tracing.deliveries]
    assert told == [("a:4", 2, True), ("a:5", 2, True)]


def test_a_read_may_end_between_a_note_and_its_message() -> None:
    hand, tracing = RoomByHand().at(2), HandTracing()
    live_member(hand.room)
    deliveries = Deliveries(tracing)
    deliveries.hand_on(hand.room, [note("a:3")])
    assert tracing.deliveries == []
    deliveries.hand_on(hand.room, [live(3)])
    deliveries.hand_on(hand.room, [live(4)])
    assert [(each.position, each.is_live) for each in tracing.deliveries] == [("a:3", True)]


def test_notes_whose_messages_never_come_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    tracing = HandTracing()
    deliveries, first = Deliveries(tracing), RoomByHand().at(2)
    live_member(first.room)
    deliveries.hand_on(first.room, [note("a:3")])
    for number in range(WAITING_MAX):
        deliveries.hand_on(room_of(f"room-{number}"), [note("a:1")])
    deliveries.hand_on(first.room, [live(3)])
    deliveries.hand_on(first.room, [note("a:4")])
    monkeypatch.setattr(traced_notes, "WAITING_S", -1.0)
    deliveries.hand_on(first.room, [live(4)])
    assert tracing.deliveries == []


def test_a_message_that_waits_for_the_history_is_told_so_and_a_room_without_members_tells_nothing() -> None:
    hand, tracing = RoomByHand().at(2), HandTracing()
    deliveries = Deliveries(tracing)
    deliveries.hand_on(hand.room, [note("a:3"), live(3)])
    live_member(hand.room)
    deliveries.hand_on(hand.room, [note("a:9"), live(9)])
    assert [(each.position, each.is_live) for each in tracing.deliveries] == [("a:9", False)]


def test_a_worker_that_does_not_trace_passes_a_note_over() -> None:
    hand, before = RoomByHand().at(2), malformed.value
    _, ann = live_member(hand.room)
    hand.room.receive([live(3), note("a:4"), live(4)])
    assert (ann.texts(), hand.reads, malformed.value - before) == (["a3", "a4"], 0, 0)


def test_what_is_not_traced_is_the_same_command_to_the_byte() -> None:
    plain, traced = Recording(), Recording()
    once = Once("", "ann", "key", "hello")
    for slow_key in (None, b"slow"):
        for key in (None, once):
            Publisher(plain, RoomRoute(), PublishOptions()).publish(
                room := room_of("tea"), HEAD, key, print, slow_key
            )
            by = TracedPublisher(HandTracing(False), traced, RoomRoute(), PublishOptions())
            other = room_of("tea")
            other.publish_head = room.publish_head  # the spare epoch is a new one for each room
            by.publish(other, HEAD, key, print, slow_key)
    assert plain.submitted == traced.submitted
    plain_script, slow_script, _ = by.commands.scripts
    assert b"traced" not in plain_script.text + slow_script.text


@pytest.mark.parametrize("more", [b"", b'"user":"u1"'], ids=["plain", "with more"])
@pytest.mark.parametrize("is_exempt", [False, True], ids=["", "exempt"])
@pytest.mark.parametrize("route", [RoomRoute(), SharedRoute()], ids=["per-room", "shared"])
async def test_the_script_tells_the_note_and_then_stores_and_tells_the_same_message(
    redis_url: str, store: PrimaryCommands, room: str, route: Route, more: bytes, is_exempt: bool
) -> None:
    tracing, answers = HandTracing(), list[str | StoreError]()
    by = TracedPublisher(tracing, store, route, PublishOptions())
    opened = Room(room, route.channel(room), lambda room: None)
    heard: list[bytes] = []
    async with redis.Redis.from_url(redis_url) as client, client.pubsub() as channel:
        await channel.subscribe(route.channel(room))
        for number in range(2):
            by.publish(
                opened, HEAD, Once("u", "ann", "key", f"{number % 1}"), answers.append, None, more, is_exempt
            )

        async def both() -> bool:
            said = await channel.get_message(ignore_subscribe_messages=True, timeout=0.05)
            if said is not None and room.encode() in said["data"] + said["channel"]:
                heard.append(route.unwrap(said["channel"], said["data"])[1])  # type: ignore[index]
            return len(heard) == 2 and len(answers) == 2

        await until(both, what="the note and the message, and no more")
        stored = await client.lrange(keys.history(room), 0, -1)
    noted, (position, _, data) = parse_note(heard[0]), heard[1].partition(b" ")
    assert noted == Note(TRACEPARENT, position.decode())
    assert (position.decode(), isinstance(answers[1], StoredBefore)) == (answers[0], True)
    assert [span.results for span in tracing.spans] == [[answers[0]], [answers[1]]]
    assert orjson.loads(data).get("user") == ("u1" if more else None)
    assert TRACEPARENT.encode() not in data
    assert TRACEPARENT not in str(stored)


async def test_a_message_that_waits_for_replicas_is_traced_too(store: PrimaryCommands, room: str) -> None:
    recording = Recording()
    options = PublishOptions(wait_replicas=1)
    by = TracedPublisher(HandTracing(), recording, RoomRoute(), options)
    by.publish(room_of(room), HEAD, None, print)
    message, wait = recording.submitted
    assert by.commands.scripts.traced.digest in message
    assert wait == b"*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$4\r\n1000\r\n"
