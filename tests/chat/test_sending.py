"""Who may send into a room: members, and users on the way back whom the room still counts as present."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tests.support.chat_worker import ChatWorker, Client, chat_worker
from tests.support.servers import Valkey
from tests.support.waiting import until


async def test_what_was_typed_while_away_is_taken_before_the_join(worker: ChatWorker, room: str) -> None:
    ann, ben = worker.connect(), worker.connect()
    await ben.join(room, "ben")
    await ann.join(room)
    joined = ["ann has joined the room"]
    await until(lambda: ben.notices() == joined, what="ben is told of ann")
    ann.close()
    back = worker.connect()
    answers = [await back.send(room, text, username="ann") for text in ("one", "two")]
    assert [answer["ok"] for answer in answers] == [True, True]
    await until(lambda: ben.messages() == ["one", "two"], what="the others get both, in order")
    assert [data["username"] for data in ben.events("receive") if "id" in data] == ["ann", "ann"]
    assert [data["id"] for data in ben.events("receive") if "id" in data] == [one["id"] for one in answers]
    assert back.messages() == [], "sending is not joining"
    await back.join(room)
    assert back.messages() == ["one", "two"]
    assert ben.notices() == joined, "it was never away"


async def test_it_is_taken_on_another_worker_than_before(
    worker: ChatWorker, room: str, redis_url: str
) -> None:
    ann, ben = worker.connect(), worker.connect()
    await ann.join(room)
    await ben.join(room, "ben")
    ann.close()
    async with chat_worker(redis_url, timeout_s=10.0, grace_s=0.1) as other:
        back = other.connect()
        assert (await back.send(room, "from elsewhere", username="ann"))["ok"]
        await until(lambda: ben.messages() == ["from elsewhere"], what="it is delivered")
        await until(lambda: other.closed == [room], what="a room that nobody joined is given up again")


async def test_answers_that_come_together_leave_together_in_their_order(
    worker: ChatWorker, room: str
) -> None:
    ann, ben = worker.connect(), worker.connect()
    await ann.join(room)
    await ben.join(room, "ben")
    before = {client: client.recorder.writes for client in (ann, ben)}
    for number in range(100):
        for client in (ann, ben):
            data = {"room": room, "message": f"{number}"}
            assert client.session.on_event("send", [data], 1000 + number) is None, (
                "no turn of the loop between"
            )
    acknowledged = [b"43%d[" % (1000 + number) for number in range(100)]
    for client in (ann, ben):
        await until(
            lambda client=client: len(_answers(client)) == 100 == len(client.messages()) - 100,
            what="all are answered, and all are delivered",
        )
        assert _answers(client) == acknowledged
        assert client.recorder.writes - before[client] < 40, "answers and deliveries, of 300 packets"


def _answers(client: Client) -> list[bytes]:
    """The heads of the acknowledgements of a burst, in the order in which they came."""
    return [packet[:7] for packet in client.recorder.packets if packet.startswith(b"431")]


async def test_what_is_refused_is_told_behind_what_was_acknowledged(server: Valkey, room: str) -> None:
    async with chat_worker(server.url, timeout_s=10.0) as worker:
        ann = worker.connect()
        await ann.join(room)
        for number in range(40):
            ann.session.on_event("send", [{"room": room, "message": "m"}], 1000 + number)
            if number == 19:
                worker.store.call(b"k", "CONFIG", "SET", "maxmemory", "1")
        await until(lambda: len(_answers(ann)) == 40, what="all are answered")
        assert _answers(ann) == [b"43%d[" % (1000 + number) for number in range(40)]
        refused = [data["code"] for data in ann.events("error")]
        assert refused == ["unavailable"] * 20
        assert _answers(ann)[:20] == [
            packet[:7] for packet in ann.recorder.packets if packet.startswith(b"431") and b'"id"' in packet
        ]


async def test_a_repeated_key_stores_nothing_again(worker: ChatWorker, room: str) -> None:
    ann = worker.connect()
    await ann.join(room)
    first = await ann.send(room, "once", idempotency_key="k1")
    ann.close()
    back = worker.connect()
    assert await back.send(room, "once", username="ann", idempotency_key="k1") == first


async def _never_there(worker: ChatWorker, room: str) -> Client:
    return worker.connect()


async def _left(worker: ChatWorker, room: str) -> Client:
    ann = worker.connect()
    await ann.join(room)
    await ann.call("leave", {"room": room})
    return worker.connect()


async def _has_joined_another_room(worker: ChatWorker, room: str) -> Client:
    ann, other = worker.connect(), worker.connect()
    await ann.join(room)
    await other.join(f"{room}-2")
    return other


async def _has_left_while_another_tab_is_there(worker: ChatWorker, room: str) -> Client:
    ann, other = worker.connect(), worker.connect()
    await ann.join(room)
    await other.join(room)
    await other.call("leave", {"room": room})
    return other


@pytest.mark.parametrize(
    "client_of", [_never_there, _left, _has_joined_another_room, _has_left_while_another_tab_is_there]
)
async def test_whoever_is_not_on_the_way_back_must_join_first(
    worker: ChatWorker, room: str, client_of: Callable[[ChatWorker, str], Awaitable[Client]]
) -> None:
    client = await client_of(worker, room)
    answer = await client.send(room, "x", username="ann", idempotency_key="k1")
    assert (answer["code"], answer["retryable"]) == ("not_joined", True)
    error = client.events("error")[-1]
    assert (error["event"], error["room"], error["idempotency_key"]) == ("send", room, "k1")


@pytest.mark.parametrize("username", [{}, {"username": "eve"}, {"username": "ChatBot"}])
async def test_only_a_name_that_the_room_counts_as_present_is_taken(
    worker: ChatWorker, room: str, username: dict[str, str]
) -> None:
    ann = worker.connect()
    await ann.join(room)
    ann.close()
    back = worker.connect()
    assert (await back.send(room, "x", **username))["code"] == "not_joined"


async def test_after_the_grace_period_it_must_join_first(redis_url: str, room: str) -> None:
    async with chat_worker(redis_url, timeout_s=10.0, grace_s=0.2) as worker:
        ann = worker.connect()
        await ann.join(room)
        ann.close()

        async def is_gone() -> bool:
            return await worker.users(room) == []

        await until(is_gone, what="the grace period is over")
        back = worker.connect()
        assert (await back.send(room, "late", username="ann"))["code"] == "not_joined"
        assert room not in worker.hub.rooms or worker.hub.rooms[room].is_idle
