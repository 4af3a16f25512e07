"""The five events against a real store: what each does, what it answers, and how it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.protocol import Position
from tests.support.chat_worker import ChatWorker, chat_worker
from tests.support.waiting import until


async def test_join_answers_with_position_and_users_and_leaves_nothing_out(
    worker: ChatWorker, room: str
) -> None:
    ann, ben = worker.connect(), worker.connect()
    first = await ann.join(room)
    assert (first["ok"], first["room"], first["count"]) == (True, room, 1)
    assert "recovered" not in first
    sent = [await ann.send(room, f"m{number}") for number in range(3)]
    assert [Position.parse(one["id"]).seq for one in sent] == [1, 2, 3]
    second = await ben.join(room, "ben")
    assert (second["id"], second["count"], ben.messages()) == (sent[-1]["id"], 2, ["m0", "m1", "m2"])
    assert [data["room"] for data in ben.events("receive")] == [room] * 3
    order = [packet[:2] for packet in ben.recorder.packets]
    assert order == [b"42", b"42", b"42", b"43"], "history, then the acknowledgement"


async def test_everybody_gets_a_message_the_sender_too_in_the_seeds_form(
    worker: ChatWorker, room: str
) -> None:
    ann, ben = worker.connect(), worker.connect()
    await ann.join(room)
    await ben.join(room, "ben")
    answer = await ann.send(room, "hello", username="ann")
    await until(lambda: ben.messages() == ann.messages() == ["hello"], what="the message")
    (data,) = [data for data in ben.events("receive") if "id" in data]
    assert list(data) == ["message", "username", "__createdtime__", "room", "id"]
    assert (data["username"], data["room"], data["id"]) == ("ann", room, answer["id"])


async def test_since_recovers_exactly_what_was_missed(worker: ChatWorker, room: str) -> None:
    ann, ben = worker.connect(), worker.connect()
    await ann.join(room)
    seen = (await ann.send(room, "m0"))["id"]
    for number in range(1, 4):
        await ann.send(room, f"m{number}")
    answer = await ben.join(room, "ben", since=seen)
    assert (answer["recovered"], ben.messages()) == (True, ["m1", "m2", "m3"])
    again = await ben.join(room, "ben", since=answer["id"])
    assert (again["recovered"], ben.messages()) == (True, ["m1", "m2", "m3"])
    other = await ben.join(room, "ben", since="nothing:7")
    assert (other["recovered"], ben.messages()[3:]) == (False, ["m0", "m1", "m2", "m3"])


async def test_a_key_of_another_message_is_a_bad_request_and_names_its_reason(
    worker: ChatWorker, room: str
) -> None:
    ann = worker.connect()
    await ann.join(room)
    await ann.send(room, "once", idempotency_key="k1")
    answer = await ann.send(room, "twice", idempotency_key="k1")
    assert (answer["ok"], answer["code"], answer["reason"]) == (False, "bad_request", "key_reused")
    error = ann.events("error")[-1]
    assert (error["code"], error["reason"], error["idempotency_key"], error["event"]) == (
        "bad_request", "key_reused", "k1", "send",
    )  # fmt: skip
    assert ann.messages() == ["once"]


async def test_nobody_takes_anothers_message_by_guessing_its_key(worker: ChatWorker, room: str) -> None:
    ann, eve = worker.connect(), worker.connect()
    await ann.join(room)
    await eve.join(room, "eve")
    taken = await eve.send(room, "what ann will say", idempotency_key="k1")
    mine = await ann.send(room, "what ann will say", idempotency_key="k1")
    assert (mine["ok"], mine["id"] != taken["id"]) == (True, True)


async def test_the_same_idempotency_key_stores_nothing_again(worker: ChatWorker, room: str) -> None:
    ann = worker.connect()
    await ann.join(room)
    first = await ann.send(room, "once", idempotency_key="k1")
    again = await ann.send(room, "once", idempotency_key="k1")
    other = await ann.send(room, "twice", idempotency_key="k2")
    assert (first["id"], Position.parse(other["id"]).seq) == (again["id"], 2)
    await until(lambda: ann.messages() == ["once", "twice"], what="both messages")


async def test_leave_ends_membership_at_once(worker: ChatWorker, room: str) -> None:
    ann, ben = worker.connect(), worker.connect()
    await ann.join(room)
    await ben.join(room, "ben")
    assert await ben.call("leave", {"username": "ben", "room": room}) == {"ok": True}
    await ann.send(room, "alone")
    await until(lambda: ann.messages() == ["alone"], what="the message")
    assert ben.messages() == []
    assert (await ben.send(room, "still here?"))["code"] == "not_joined"
    assert await worker.users(room) == ["ann"]


async def test_joining_under_another_name_leaves_as_the_first(worker: ChatWorker, room: str) -> None:
    ann, ben = worker.connect(), worker.connect()
    await ann.join(room)
    await ben.join(room, "ben")
    assert (await ben.join(room, "bea"))["count"] == 2
    await until(lambda: len(ann.notices()) == 3, what="the notices")
    assert ann.notices()[1:] == ["ben has left the room", "bea has joined the room"]
    assert await worker.users(room) == ["ann", "bea"]


async def test_members_names_who_is_there(worker: ChatWorker, room: str) -> None:
    ann, ben = worker.connect(), worker.connect()
    await ann.join(room, "Zoë")
    await ben.join(room, "ben")
    answer = await ann.call("members", {"room": room})
    assert (answer["ok"], sorted(answer["members"]), answer["count"]) == (True, ["Zoë", "ben"], 2)


async def test_history_pages_backwards(worker: ChatWorker, room: str) -> None:
    ann = worker.connect()
    await ann.join(room)
    ids = [(await ann.send(room, f"m{number}"))["id"] for number in range(5)]

    async def page(**more: Any) -> list[str]:
        answer = await ann.call("history", {"room": room, **more})
        return [data["message"] for data in answer["messages"]]

    assert await page() == ["m0", "m1", "m2", "m3", "m4"]
    assert await page(limit=2) == ["m3", "m4"]
    assert await page(before=ids[3], limit=2) == ["m1", "m2"]
    assert await page(before=ids[0]) == []
    assert await page(before="other:9") == []


@pytest.mark.parametrize(
    ("event", "data", "code"),
    [
        ("join", {"room": "r"}, "bad_request"),
        ("join", {"username": "ChatBot", "room": "r"}, "name_taken_by_system"),
        ("join", {"username": "ann", "room": "r{}"}, "bad_request"),
        ("join", {"username": "ann", "room": "r" * 129}, "too_large"),
        ("join", {"username": "ann", "room": "r", "since": "7"}, "bad_request"),
        ("send", {"room": "nowhere", "message": "m"}, "not_joined"),
        ("leave", {"room": "nowhere"}, "not_joined"),
        ("members", {"room": "nowhere"}, "not_joined"),
        ("history", {"room": "nowhere"}, "not_joined"),
        ("history", {"room": "r", "limit": 0}, "bad_request"),
        ("nonsense", {}, "bad_request"),
        ("send", "text", "bad_request"),
    ],
)
async def test_a_refusal_is_an_error_event_and_an_acknowledgement(
    worker: ChatWorker, event: str, data: Any, code: str
) -> None:
    ann = worker.connect()
    answer = await ann.call(event, data)
    assert (answer["ok"], answer["code"], answer["retryable"]) == (False, code, code == "not_joined")
    (error,) = ann.events("error")
    assert (error["code"], error["message"]) == (code, answer["message"])
    await ann.emit(event, data)
    assert [one["code"] for one in ann.events("error")] == [code, code], "also without an acknowledgement"


async def test_an_error_names_what_it_is_about(worker: ChatWorker, room: str) -> None:
    ann = worker.connect()
    await ann.emit("send", {"room": room, "message": "m", "idempotency_key": "k1"})
    (error,) = ann.events("error")
    assert (error["event"], error["room"], error["idempotency_key"]) == ("send", room, "k1")


async def test_one_speaks_only_under_the_name_one_joined_with(worker: ChatWorker, room: str) -> None:
    ann = worker.connect()
    await ann.join(room)
    assert (await ann.send(room, "hi", username="ben"))["code"] == "forbidden"


async def test_a_connection_may_be_in_so_many_rooms(redis_url: str, room: str) -> None:
    async with chat_worker(redis_url, rooms_max=2) as worker:
        ann = worker.connect()
        await ann.join(room)
        await ann.join(f"{room}-2")
        assert (await ann.join(f"{room}-3"))["code"] == "room_limit"
        assert (await ann.join(room))["ok"], "one that it is in may be joined again"
        await ann.call("leave", {"room": room})
        assert (await ann.join(f"{room}-3"))["ok"]


async def test_a_closed_connection_is_forgotten(worker: ChatWorker, room: str) -> None:
    ann, ben = worker.connect(), worker.connect()
    await ann.join(room)
    await ben.join(room, "ben")
    ben.close()
    ben.close()
    sessions = worker.sessions
    assert ben.sid not in sessions
    assert (sessions.is_in(room, ben.sid), sessions.is_in(room, ann.sid)) == (False, True)
    assert sessions.everyone() == [(room, ann.sid, "ann", None)]
