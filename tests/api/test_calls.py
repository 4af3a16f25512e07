"""What the methods of the server API do, against a real Redis, with members who see it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
import pytest_asyncio

from gateway.server.app import GATEWAY, Gateway, build_app
from tests.support.backends import Backend, backend, key_for
from tests.support.clients import Member
from tests.support.serving import serving, settings
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Served(NamedTuple):
    """A gateway with the API on, and two backends with keys of their own."""

    url: str
    api: Backend
    other: Backend
    gateway: Gateway


@pytest_asyncio.fixture(
    scope="module", loop_scope="module", params=["per-room", pytest.param("shared", marks=pytest.mark.long)]
)
async def served(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[Served]:
    (one, first), (two, second) = key_for("one"), key_for("two")
    app = build_app(
        settings(
            redis_url,
            GATEWAY_API_KEYS=f"{first},{second}",
            GATEWAY_HEARTBEAT_S="0.2",
            GATEWAY_GRACE_S="0",
            GATEWAY_ROUTE=request.param,
        )
    )
    async with serving(app) as url, backend(url, one) as api, backend(url, two) as other:
        yield Served(url, api, other, app[GATEWAY])


@pytest_asyncio.fixture(loop_scope="module")
async def ada(served: Served, room: str) -> AsyncIterator[Member]:
    """A member of the room."""
    async with await Member.connect(served.url) as member:
        await member.join("ada", room)
        yield member


async def test_a_publish_is_a_message_among_others_in_one_order(
    served: Served, room: str, ada: Member
) -> None:
    first = await served.api.ok("publish", room=room, message="from the application")
    second = await ada.send(room, "from ada")
    third = await served.api.ok("publish", room=room, message="again", username="Support")
    await until(lambda: len(ada.ids(room)) == 3, what="all three")
    assert ada.ids(room) == [first["id"], second["id"], third["id"]]
    assert first["duplicate"] is False
    names = [each["username"] for each in ada.received if "id" in each]
    assert names == ["ChatBot", "ada", "Support"]
    history = await served.api.ok("history", room=room)
    assert history["messages"] == [each for each in ada.received if "id" in each]
    assert history["id"] == third["id"]


async def test_user_and_meta_reach_members_and_stay_in_the_history(
    served: Served, room: str, ada: Member
) -> None:
    meta = {"order": 7, "é": ["x", None]}
    sent = await served.api.ok("publish", room=room, message="x", user="u-1", meta=meta, username="Ada")
    await until(lambda: bool(ada.ids(room)), what="the message")
    (message,) = [each for each in ada.received if "id" in each]
    assert (message["user"], message["meta"], message["id"]) == ("u-1", meta, sent["id"])
    assert (await served.api.ok("history", room=room))["messages"] == [message]


@pytest.mark.parametrize("way", ["field", "header"])
async def test_a_key_again_gets_the_first_answer_and_stores_nothing(
    served: Served, room: str, way: str
) -> None:
    how = {"idempotency_key": "k"} if way == "field" else {"headers": {"Idempotency-Key": "k"}}
    first = (await served.api.call("publish", room=room, message="x", **how)).data
    again = (await served.api.call("publish", room=room, message="x", **how)).data
    assert again == {"id": first["id"], "duplicate": True}
    assert len((await served.api.ok("history", room=room))["messages"]) == 1


async def test_a_key_again_is_known_whatever_the_order_of_the_fields_of_meta(
    served: Served, room: str
) -> None:
    said = {"room": room, "message": "x", "idempotency_key": "k"}
    first = await served.api.ok("publish", **said, meta={"a": 1, "b": {"c": 2, "d": 3}})
    again = await served.api.ok("publish", **said, meta={"b": {"d": 3, "c": 2}, "a": 1})
    assert again == {"id": first["id"], "duplicate": True}


async def test_a_key_with_another_message_is_409_and_another_backends_key_is_its_own(
    served: Served, room: str
) -> None:
    await served.api.ok("publish", room=room, message="x", idempotency_key="k")
    for changed in (
        {"message": "y"},
        {"message": "x", "username": "Ann"},
        {"message": "x", "meta": {"a": 1}},
    ):
        answer = await served.api.call("publish", room=room, idempotency_key="k", **changed)
        assert (answer.status, answer.data["reason"]) == (409, "key_reused")
    other = await served.other.ok("publish", room=room, message="z", idempotency_key="k")
    assert other["duplicate"] is False


async def test_no_user_can_take_a_backends_idempotency_key(served: Served, room: str) -> None:
    async with await Member.connect(served.url) as member:
        await member.join("one", room)
        stolen = await member.send(room, "x", idempotency_key="k")
    sent = await served.api.ok("publish", room=room, message="x", idempotency_key="k")
    assert sent["duplicate"] is False
    assert sent["id"] != stolen["id"]


async def test_a_broadcast_tells_each_room_and_answers_in_their_order(
    served: Served, room: str, ada: Member
) -> None:
    rooms = [f"{room}-{number}" for number in range(60)] + [room]
    results = (await served.api.ok("broadcast", rooms=rooms, message="to all", idempotency_key="b"))[
        "results"
    ]
    assert [each["room"] for each in results] == rooms
    assert all(each["id"].endswith(":1") for each in results)
    await until(lambda: ada.messages(room) == ["to all"], what="the room's own")
    again = (await served.api.ok("broadcast", rooms=rooms, message="to all", idempotency_key="b"))["results"]
    assert again == results


async def test_a_broadcast_does_not_name_a_room_twice_nor_too_many(served: Served) -> None:
    twice = await served.api.call("broadcast", rooms=["a", "a"], message="x")
    assert twice.status == 400
    many = await served.api.call("broadcast", rooms=[f"{n}" for n in range(1001)], message="x")
    assert many.status == 413


async def test_rooms_that_nobody_is_in_are_given_up_and_noted_once(served: Served, room: str) -> None:
    for number in range(200):
        await served.api.ok("publish", room=room, message=f"{number}")
    hub = served.gateway.hub
    assert room in hub.rooms
    noted = [item for _, item in hub._idle.entries if getattr(item, "name", "") == room]
    assert len(noted) <= 3


async def test_history_is_read_forward_and_backward_and_makes_no_room(served: Served, room: str) -> None:
    assert await served.api.ok("history", room=room) == {"messages": [], "id": None}
    assert (await served.api.ok("room", room=room))["id"] is None
    ids = [(await served.api.ok("publish", room=room, message=f"{n}"))["id"] for n in range(6)]

    async def texts(**where: object) -> list[str]:
        return [each["message"] for each in (await served.api.ok("history", room=room, **where))["messages"]]

    assert await texts(limit=2) == ["4", "5"]
    assert await texts(before=ids[4], limit=2) == ["2", "3"]
    assert await texts(after=ids[1], limit=2) == ["2", "3"]
    assert await texts(after=ids[5]) == []
    answer = await served.api.ok("history", room=room, after=ids[1])
    assert answer["recovered"] is True
    elsewhere = await served.api.ok("history", room=room, after="other:3")
    assert (elsewhere["recovered"], len(elsewhere["messages"])) == (False, 6)
    assert (await served.api.call("history", room=room, before=ids[1], after=ids[1])).status == 400


async def test_members_and_room_tell_who_is_there(served: Served, room: str, ada: Member) -> None:
    assert await served.api.ok("members", room=room) == {"members": ["ada"], "count": 1, "users": []}
    sent = await served.api.ok("publish", room=room, message="x")
    told = await served.api.ok("room", room=room)
    assert told == {"room": room, "id": sent["id"], "count": 1, "workers": [served.gateway.worker]}


async def test_rooms_come_in_pages_by_name_each_once(served: Served, room: str) -> None:
    names = sorted(f"{room}*{number}" for number in range(25))
    async with await Member.connect(served.url) as member:
        for name in names:
            await member.join("ada", name)
        found, cursor = [], None
        while True:
            more: dict[str, str] = {} if cursor is None else {"cursor": cursor}
            page = await served.api.ok("rooms", prefix=f"{room}*", limit=10, **more)
            found += page["rooms"]
            assert len(page["rooms"]) <= 10
            cursor = page["cursor"]
            if cursor is None:
                break
        assert found == [{"room": name, "count": 1} for name in names]
        assert (await served.api.ok("rooms", prefix=f"{room}?"))["rooms"] == []


async def test_stats_tell_of_each_worker(served: Served, ada: Member) -> None:
    async def is_noted() -> bool:
        told = await served.api.ok("stats")
        mine = [each for each in told["workers"] if each["worker"] == served.gateway.worker]
        return bool(
            mine and mine[0]["state"] == "ready" and mine[0]["connections"] >= 1 and told["rooms"] >= 1
        )

    await until(is_noted, what="this worker's note")


async def test_a_signal_to_a_room_is_told_and_not_stored(served: Served, room: str, ada: Member) -> None:
    await served.api.ok("signal", room=room, kind="_order", data={"n": 1})
    await until(lambda: any(name == "signal" for name, _ in ada.arrivals), what="the signal")
    (told,) = [data for name, data in ada.arrivals if name == "signal"]
    assert told == {"room": room, "kind": "_order", "username": "ChatBot", "data": {"n": 1}}
    assert (await served.api.ok("history", room=room))["messages"] == []
    assert (await served.api.call("signal", kind="x")).status == 400


async def test_a_batch_does_its_commands_in_order_and_one_that_fails_stops_none(
    served: Served, room: str
) -> None:
    commands = [
        {"method": "publish", "room": room, "message": "1"},
        {"method": "publish", "room": room},
        {"method": "unknown"},
        "no object",
        {"method": "batch", "commands": [{"method": "stats"}]},
        {"method": "publish", "room": room, "message": "2"},
        {"method": "history", "room": room},
    ]
    for parallel in (False, True):
        results = (await served.api.ok("batch", commands=commands, parallel=parallel))["results"]
        assert [each.get("code") for each in results] == [
            None, "bad_request", "not_found", "bad_request", "bad_request", None, None,
        ]  # fmt: skip
    assert [each["message"] for each in results[-1]["messages"]][:2] == ["1", "2"]
    many = [{"method": "broadcast", "rooms": [f"{n}" for n in range(600)], "message": "x"}] * 2
    assert (await served.api.call("batch", commands=many)).status == 413


async def test_bans_and_revocations_are_state(served: Served) -> None:
    now_s = time.time()
    await served.api.ok("ban", user="mallory", until=now_s + 60)
    await served.api.ok("ban", ip="203.0.113.0/24")
    await served.api.ok("revoke", jti="token-1", until=now_s + 60)
    await served.api.ok("revoke", user="trent")
    held = {field async for piece in served.gateway.revoking._store.pieces() for field, _ in piece}
    assert held >= {b"ban:mallory", b"ip:203.0.113.0/24", b"jti:token-1", b"user:trent"}
    for who in ({"user": "mallory"}, {"ip": "203.0.113.0/24"}, {"user": "nobody"}):
        await served.api.ok("unban", **who)
    held = {field async for piece in served.gateway.revoking._store.pieces() for field, _ in piece}
    assert not held & {b"ban:mallory", b"ip:203.0.113.0/24"}
    for method, fields in (
        ("ban", {}), ("ban", {"user": "a", "ip": "1.2.3.4"}), ("ban", {"ip": "1.0.0.0/4"}), ("ban", {"ip": "x"}),
        ("ban", {"user": "a", "until": now_s - 1}), ("revoke", {}), ("revoke", {"user": "a", "until": now_s + 9}),
        ("unban", {"user": "\x00"}), ("disconnect", {"user": "a", "reconnect": "yes"}),
    ):  # fmt: skip
        assert (await served.api.call(method, **fields)).status == 400, (method, fields)


async def test_many_at_once_get_numbers_without_holes(served: Served, room: str) -> None:
    answers = await asyncio.gather(*(served.api.ok("publish", room=room, message=f"{n}") for n in range(200)))
    assert sorted(int(each["id"].rpartition(":")[2]) for each in answers) == list(range(1, 201))
