"""Publishing: one script call and one outcome per message. The store answers by hand, or is a real one."""

from __future__ import annotations

import time

import hiredis
import orjson
import pytest

from gateway import keys
from gateway.errors import StoreError, StoreRefused, StoreUnavailable
from gateway.interfaces import OnReply, Reply
from gateway.option_groups import PublishOptions
from gateway.protocol import Position, entry_head, whole_entry
from gateway.redis.commands import CommandCalls, PrimaryCommands
from gateway.rooms.publish_commands import Once
from gateway.rooms.publisher import LOOKS_BACK_S, Publisher
from gateway.rooms.room import Room
from gateway.rooms.routes import RoomRoute
from gateway.state.history import Histories, Snapshot
from tests.support.waiting import until

HEAD = entry_head("hello", "ann")
ONCE = Once("", "ann", "k1", "hello")
Outcomes = list[str | StoreError]


class HandStore(CommandCalls):
    """Keeps commands until the test answers them."""

    has_origins = False

    def __init__(self) -> None:
        self.commands: list[list[bytes]] = []
        self.waiting: list[OnReply] = []

    def submit(self, key: bytes, command: bytes, on_reply: OnReply) -> None:
        reader = hiredis.Reader()
        reader.feed(command)
        self.commands.append(reader.gets())
        assert reader.gets() is False, "one whole command"
        self.waiting.append(on_reply)

    def answer(self, *replies: Reply) -> None:
        """Answers the oldest commands, in order."""
        for reply in replies:
            self.waiting.pop(0)(reply)


def room_at(seq: int = 4, room: str = "tea") -> Room:
    opened = Room(room, keys.live(room), lambda opened: None)
    opened.move_to(Snapshot("a", seq, []))
    return opened


def publisher_of(store: HandStore, **options: int) -> Publisher:
    return Publisher(store, RoomRoute(), PublishOptions(**options))  # type: ignore[arg-type]


def test_one_script_call_names_the_rooms_keys_and_what_was_seen() -> None:
    store, outcomes = HandStore(), Outcomes()
    publisher = publisher_of(store)
    publisher.publish(room_at(), HEAD, ONCE, outcomes.append)
    (command,) = store.commands
    assert command[:3] == [b"EVALSHA", publisher.commands.scripts.plain.digest, b"4"]
    assert command[3:5] == [keys.history("tea"), keys.meta("tea")]
    assert command[5:7] == [keys.idempotency("tea", "", "ann", "k1"), keys.older_idempotency("tea", "k1")]
    assert command[7:9] == [keys.live("tea"), b'"tea"']
    assert command[10:] == [b"a", b"4", HEAD, b"", ONCE.content]
    store.answer(b"a:5 7")
    assert outcomes == ["a:5"]


def test_an_hour_after_the_start_nobody_looks_for_older_idempotency_keys() -> None:
    store, now = HandStore(), [0.0]
    publisher = Publisher(store, RoomRoute(), PublishOptions(), lambda: now[0])  # type: ignore[arg-type]
    for now[0] in (LOOKS_BACK_S - 1, LOOKS_BACK_S):
        publisher.publish(room_at(), HEAD, ONCE, lambda result: None)
    looking, not_looking = store.commands
    assert (looking[2], not_looking[2]) == (b"4", b"3")
    assert looking[:2] + looking[3:6] + looking[7:9] == not_looking[:2] + not_looking[3:8]


def test_a_message_that_was_stored_before_says_nothing_about_the_rooms_position() -> None:
    store, opened, outcomes = HandStore(), room_at(), Outcomes()
    publisher_of(store).publish(opened, HEAD, ONCE, outcomes.append)
    store.answer(b"=a:9")
    assert (outcomes, opened.observed.position) == (["a:9"], Position("a", 4))


def test_what_was_seen_on_another_server_is_told_with_the_next_message() -> None:
    store, opened = HandStore(), room_at()
    opened.server_left(time.monotonic() - 2)
    publisher_of(store).publish(opened, HEAD, None, lambda result: None)
    assert store.commands[0][8:10] == [b"a", b"4"]
    assert 2000 <= int(store.commands[0][-1]) < 4000


def test_what_was_acknowledged_is_remembered_with_the_time_that_the_store_gave_it() -> None:
    store, opened = HandStore(), room_at()
    publisher_of(store).publish(opened, HEAD, None, lambda result: None)
    store.answer(b"a:5 1764169200123")
    stored = whole_entry(HEAD, b"1764169200123")
    other = whole_entry(HEAD, b"1764169200124")
    opened.server_left(time.monotonic())
    assert not opened.detector.is_contradicted(Snapshot("a", 5, [HEAD, stored]), None)
    assert opened.detector.is_contradicted(Snapshot("a", 5, [HEAD, other]), None)


def test_a_position_is_told_on_the_rooms_channel() -> None:
    store = HandStore()
    publisher_of(store).tell_position(room_at())
    assert store.commands == [[b"PUBLISH", keys.live("tea"), b"a:4"]]


def test_a_command_is_prepared_once_per_room_and_epoch() -> None:
    store, opened = HandStore(), room_at()
    publisher = publisher_of(store)
    for _ in range(2):
        publisher.publish(opened, HEAD, None, lambda result: None)
    first, second = store.commands
    assert first == second
    assert first[2:5] == [b"2", keys.history("tea"), keys.meta("tea")]
    store.answer(b"a:5 7", b"b:1 8")
    publisher.publish(opened, HEAD, None, lambda result: None)
    assert store.commands[2][7] != first[7], "an epoch that was taken is not offered again"
    assert store.commands[2][-3:-1] == [b"a", b"4"], "of the epoch that the members are in"


def test_an_acknowledged_position_is_told_to_the_store_with_the_next_message() -> None:
    store, opened = HandStore(), room_at()
    publisher = publisher_of(store)
    publisher.publish(opened, HEAD, None, lambda result: None)
    store.answer(b"a:9 7")
    publisher.publish(opened, HEAD, None, lambda result: None)
    assert store.commands[1][-3:-1] == [b"a", b"9"]


@pytest.mark.parametrize("error", [StoreUnavailable("late"), StoreRefused("wrong type")])
def test_an_error_is_the_outcome_as_it_is(error: StoreError) -> None:
    store, outcomes = HandStore(), Outcomes()
    publisher_of(store).publish(room_at(), HEAD, None, outcomes.append)
    store.answer(error)
    assert outcomes == [error]


def test_with_enough_replicas_the_position_is_the_outcome() -> None:
    store, outcomes = HandStore(), Outcomes()
    publisher_of(store, wait_replicas=1).publish(room_at(), HEAD, None, outcomes.append)
    assert [command[0] for command in store.commands] == [b"EVALSHA", b"WAIT"]
    store.answer(b"a:5 7")
    assert outcomes == []
    store.answer(1)
    assert outcomes == ["a:5"]


@pytest.mark.parametrize(
    ("stored", "replicas"),
    [
        (b"a:5 7", 0),
        (b"a:5 7", StoreUnavailable("late")),
        (StoreUnavailable("late"), 2),
        (StoreUnavailable("late"), StoreUnavailable("late")),
    ],
)
def test_with_too_few_replicas_or_no_answer_it_is_unavailable_once(stored: Reply, replicas: Reply) -> None:
    store, outcomes = HandStore(), Outcomes()
    publisher_of(store, wait_replicas=1).publish(room_at(), HEAD, None, outcomes.append)
    store.answer(stored, replicas)
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable]


def test_a_wait_that_was_over_before_the_message_was_stored_proves_nothing() -> None:
    """On a Cluster, when the message's slot moves and the message takes a detour."""
    store, outcomes = HandStore(), Outcomes()
    publisher_of(store, wait_replicas=1).publish(room_at(), HEAD, None, outcomes.append)
    stored, waited = store.waiting
    waited(1)
    assert outcomes == []
    stored(b"a:5 7")
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable]


def test_a_notice_is_one_publish_that_nobody_waits_for() -> None:
    store = HandStore()
    publisher_of(store).tell("tea", "receive", b'{"message":"x"}', "s1")
    assert store.commands == [[b"PUBLISH", keys.live("tea"), b'-s1 {"message":"x"}']]
    store.answer(StoreUnavailable("away"))


async def test_messages_of_one_turn_get_positions_in_the_order_in_which_they_were_sent(
    store: PrimaryCommands, room: str
) -> None:
    publisher, outcomes = Publisher(store, RoomRoute(), PublishOptions()), Outcomes()
    opened = Room(room, keys.live(room), lambda opened: None)
    for number in range(50):
        publisher.publish(opened, entry_head(f"m{number}", "ann"), None, outcomes.append)
    await until(lambda: len(outcomes) == 50, 3, "all are answered")
    assert [str(outcome).partition(":")[2] for outcome in outcomes] == [
        str(number) for number in range(1, 51)
    ]
    snapshot = await Histories(store, 600).snapshot(room)
    assert [orjson.loads(stored)["message"] for stored in snapshot.entries] == [
        f"m{number}" for number in range(50)
    ]


async def test_without_replicas_a_message_that_needs_one_is_unavailable_though_stored(
    store: PrimaryCommands, room: str
) -> None:
    publisher = Publisher(store, RoomRoute(), PublishOptions(wait_replicas=1, wait_s=0.1))
    outcomes = Outcomes()
    publisher.publish(Room(room, keys.live(room), lambda opened: None), HEAD, ONCE, outcomes.append)
    await until(lambda: outcomes, 3, "it is answered")
    assert isinstance(outcomes[0], StoreUnavailable)
    assert (await Histories(store, 600).snapshot(room)).seq == 1
