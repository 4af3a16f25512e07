"""Workers answer those who run the gateway, and the microscope sees what is wrong with a room."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import orjson
import pytest

from gateway import keys
from gateway.access.identity import Identity
from gateway.chat.inspection import INSPECT, UNDER_WAY_MAX, Inspection
from gateway.chat.room_rates import Recent, RoomRates
from gateway.metrics import control_malformed
from gateway.protocol import Position
from gateway.server.asking import Operator, operator
from gateway.server.room_facts import RoomFacts, StoreFacts, look
from gateway.settings import Settings
from tests.support.chat_worker import ChatWorker, chat_worker
from tests.support.waiting import Stopwatch, until


class State:
    """How a worker is."""

    state = "ready"

    def __init__(self, worker: str) -> None:
        self.worker = worker


def answering(worker: ChatWorker) -> Inspection:
    """Lets a worker answer."""
    recent = Recent(RoomRates(worker.hub, time.monotonic), worker.sessions.__len__)
    inspection = Inspection(
        State(worker.name), worker.store, worker.hub, worker.sessions, worker.background, recent
    )
    worker.control.hear(INSPECT, inspection.on_word)
    return inspection


@asynccontextmanager
async def workers(
    redis_url: str, number: int, prefix: str = ""
) -> AsyncIterator[tuple[list[ChatWorker], Operator]]:
    """Workers that live and answer, and an operator; nobody else lives at their Redis."""
    async with AsyncExitStack() as stack:
        made = [await stack.enter_async_context(chat_worker(redis_url)) for _ in range(number)]
        for worker in made:
            answering(worker)
            await worker.workers.beat()
        me = await stack.enter_async_context(operator(Settings.from_environment({"REDIS_URL": redis_url})))
        yield made, me


async def test_all_workers_tell_what_they_have_of_a_room(server: Any, room: str) -> None:
    async with workers(server.url, 2) as ((first, second), me):
        await first.connect().join(room, "ann")
        await second.connect().join(room, "bob")
        await first.connect().join("another", "cyd")
        found = await look(me, room)
        assert found.divergences() == []
        assert found.store.subscribers == 2
        assert {name: told["room"]["members"] for name, told in found.here.items()} == {
            first.name: 1,
            second.name: 1,
        }
        assert {told["room"]["position"] for told in found.here.values()} == {str(found.store.position)}


async def test_a_worker_whose_subscription_was_dropped_is_found_within_a_second(
    server: Any, room: str
) -> None:
    async with workers(server.url, 2) as ((first, second), me):
        ann = first.connect()
        await ann.join(room, "ann")
        await second.connect().join(room, "bob")
        assert (await look(me, room)).divergences() == []
        second.pubsub.unsubscribe(second.hub.rooms[room].channel)  # nobody tells the room
        async with Stopwatch() as watch:
            found = await look(me, room)
        assert f"worker {second.name} does not hear the room's channel" in found.divergences()
        assert (
            "1 connection listens to the room's channel, and 2 workers have the room" in found.divergences()
        )
        assert not any(first.name in sentence for sentence in found.divergences())
        assert watch.calm_seconds < 1.0
        await ann.send(room, "hello")
        behind = await look(me, room)
        assert f"worker {second.name} is 1 message behind the store" in behind.divergences()


async def test_a_look_changes_nothing(server: Any, room: str) -> None:
    async with workers(server.url, 1) as ((first,), me):
        ann = first.connect()
        await ann.join(room, "ann")
        await ann.send(room, "hello")
        await until(lambda: ann.messages() == ["hello"], what="it came back")
        before = len(ann.all_events()), await server.ask("DBSIZE")
        await look(me, room)
        await look(me, "nowhere")
        assert (len(ann.all_events()), await server.ask("DBSIZE")) == before
        assert not first.hub.rooms[room].reading.is_open


async def test_an_older_worker_shows_as_one_that_does_not_answer(server: Any, room: str) -> None:
    async with workers(server.url, 1) as ((first,), me), chat_worker(server.url) as older:
        await older.workers.beat()
        await first.connect().join(room, "ann")
        async with Stopwatch() as watch:
            found = await me.questions.ask("room", [first.name, older.name], room=room)
        assert set(found) == {first.name}
        assert watch.seconds > 0.4
        assert watch.calm_seconds < 1.0
        assert (await look(me, room)).silent == [older.name]


async def test_a_user_is_found_by_its_id_and_a_guest_by_its_name(server: Any, room: str) -> None:
    async with workers(server.url, 2) as ((first, second), me):
        await first.connect().join(room, "ann")
        second.connect(identity=Identity(user="42"), address="192.0.2.7")
        living = [first.name, second.name]
        of_user = await me.questions.ask("user", living, user="42")
        (session,) = of_user[second.name]["sessions"]
        assert (session["user"], session["address"], session["rooms"]) == ("42", "192.0.2.7", {})
        of_guest = await me.questions.ask("user", living, user="ann")
        (session,) = of_guest[first.name]["sessions"]
        assert session["rooms"] == {room: "ann"}
        assert of_guest[second.name]["count"] == 0


async def test_busy_rooms_and_slow_members_are_told(server: Any, room: str) -> None:
    async with workers(server.url, 1) as ((first,), me):
        ann, slow = first.connect(), first.connect(mark=1)
        await ann.join(room, "ann")
        await slow.join(room, "slow")
        told = (await me.questions.ask("worker", [first.name]))[first.name]
        assert not told["has_rates"]  # nobody looked before
        for number in range(5):
            await ann.send(room, f"message {number}")
        await asyncio.sleep(1.0)  # who asks sooner gets what was found before
        told = (await me.questions.ask("worker", [first.name], recent=True))[first.name]
        assert told["has_rates"]
        ((name, rate, members),) = told["busiest"]
        assert (name, members, told["largest"]) == (room, 2, [[room, 2]])
        assert 1.0 < rate <= 5.0
        assert told["slowest"][0]["rooms"] == {room: told["slowest"][0]["rooms"][room]}
        assert {each["behind"] for each in told["slowest"]} == {0, 1}
        assert told["recent"]["connections"] == []


MALFORMED: list[dict[str, Any]] = [
    {"do": "inspect"},
    {"do": "inspect", "asker": "*", "number": 1, "what": "room"},
    {"do": "inspect", "asker": "0" * 65, "number": 1, "what": "room"},
    {"do": "inspect", "asker": ["0" * 32], "number": 1, "what": "room"},
    {"do": "inspect", "asker": "0" * 32, "number": "1", "what": "room"},
    {"do": "inspect", "asker": "0" * 32, "number": 1, "what": []},
    {"do": "inspect", "asker": "0" * 32, "number": 1, "what": "room", "room": []},
    {"do": "inspect", "asker": "0" * 32, "number": 1, "what": "user", "user": 7},
]


async def test_malformed_questions_are_counted_and_change_nothing(server: Any) -> None:
    async with workers(server.url, 1) as ((first,), me):
        before = control_malformed.value
        for word in MALFORMED:
            first.control.on_message(orjson.dumps(word))
        assert control_malformed.value == before + len(MALFORMED)
        assert (await look(me, "nowhere")).silent == []


class Nothing:
    """A follower that nothing concerns."""

    def on_messages(self, messages: list[tuple[bytes, bytes]]) -> None:
        """Not followed."""

    def on_interrupted(self) -> None:
        """Not followed."""

    def on_restored(self) -> None:
        """Not followed."""


async def test_a_flood_of_questions_is_answered_in_part(server: Any) -> None:
    async with workers(server.url, 1) as ((first,), me):
        answered: list[bytes] = []
        channel = keys.answers("f" * 32)

        class Collecting(Nothing):
            def on_messages(self, messages: list[tuple[bytes, bytes]]) -> None:
                answered.extend(said for where, said in messages if where == channel)

        me.channels.follower = Collecting()
        await me.pubsub.subscribe(channel)
        for number in range(500):
            word = {"do": "inspect", "asker": "f" * 32, "number": number, "what": "worker"}
            first.control.on_message(orjson.dumps(word))
        await until(lambda: len(answered) >= UNDER_WAY_MAX, what="the first are answered")
        assert (await me.questions.ask("room", [first.name], room="any")).keys() == {first.name}
        assert len(answered) == UNDER_WAY_MAX


@pytest.mark.parametrize(
    ("position", "sentence"),
    [
        ("e1:7", None),
        ("e1:9", None),
        ("e1:5", "worker w is 2 messages behind the store"),
        ("e2:7", "worker w is in another epoch (e2:7) than the store"),
    ],
)
def test_positions_are_compared_inside_an_epoch(position: str, sentence: str | None) -> None:
    told = {"position": position, "unsure": False, "refused": False, "heard_ms": 0.0}
    found = RoomFacts("tea", StoreFacts(Position("e1", 7), 7, 1, 1), {"w": {"room": told}}, [])
    assert found.divergences() == ([] if sentence is None else [sentence])


def test_a_room_that_is_unsure_after_a_failover_diverges() -> None:
    told = {"position": "e1:7", "unsure": True, "refused": True, "heard_ms": 0.0}
    found = RoomFacts("tea", StoreFacts(Position("e1", 7), 7, 1, None), {"w": {"room": told}}, [])
    assert [sentence.split(":")[0] for sentence in found.divergences()] == [
        "worker w is unsure",
        "worker w is refused the room's history by the store",
    ]
