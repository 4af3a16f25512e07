"""Another process may emit to a room by python-socketio's own write-only publishers, as it could before."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator
from typing import Any

import pytest
import socketio

from tests.support.clients import Member
from tests.support.gateways import Gateway
from tests.support.opener import Opener
from tests.support.spread import one_on_each
from tests.support.waiting import until


@pytest.fixture
async def four(routed: Gateway, room: str, connect: Opener) -> list[Member]:
    """A member on each of the four workers, all in the room."""
    members = await one_on_each(routed, connect)
    for number, member in enumerate(members):
        await member.join(f"user-{number}", room)
    return members


@pytest.fixture
async def outside(redis_url: str) -> AsyncIterator[socketio.AsyncRedisManager]:
    """What another process would use."""
    publisher = socketio.AsyncRedisManager(redis_url, write_only=True)
    yield publisher
    await publisher.redis.aclose()


async def test_the_asynchronous_publisher_reaches_members_on_every_worker(
    four: list[Member], room: str, outside: socketio.AsyncRedisManager
) -> None:
    await outside.emit("announcement", "maintenance", room=room)
    await until(lambda: all(_announced(member) == ["maintenance"] for member in four), what="all got it")


async def test_the_synchronous_publisher_reaches_members_on_every_worker(
    four: list[Member], room: str, redis_url: str
) -> None:
    outside = socketio.RedisManager(redis_url, write_only=True)
    await asyncio.to_thread(outside.emit, "announcement", "maintenance", room=room)
    await until(lambda: all(_announced(member) == ["maintenance"] for member in four), what="all got it")
    outside.redis.close()


async def test_it_reaches_one_session_or_everybody_and_not_other_rooms(
    four: list[Member], room: str, outside: socketio.AsyncRedisManager, routed: Gateway, connect: Opener
) -> None:
    stranger = await connect(routed.url)
    await outside.emit("announcement", "for one", room=four[1].socket_id)
    await outside.emit("announcement", "for the room", room=room)
    await outside.emit("announcement", "for all")
    everybody = [*four, stranger]
    await until(lambda: all("for all" in _announced(member) for member in everybody), what="all got it")
    assert _announced(four[0]) == ["for the room", "for all"]
    assert _announced(four[1]) == ["for one", "for the room", "for all"]
    assert _announced(stranger) == ["for all"]


async def test_who_left_is_not_reached_any_more(
    four: list[Member], room: str, outside: socketio.AsyncRedisManager
) -> None:
    await four[0].call("leave", {"username": "user-0", "room": room})
    await outside.emit("announcement", "one", room=room)
    await outside.emit("announcement", "two", room=four[0].socket_id)
    await until(lambda: _announced(four[1]) == ["one"] and _announced(four[0]), what="the others")
    assert _announced(four[0]) == ["two"]


async def test_it_reaches_several_rooms_and_several_sessions(
    four: list[Member], room: str, outside: socketio.AsyncRedisManager
) -> None:
    await four[3].call("leave", {"username": "user-3", "room": room})
    await four[3].join("user-3", f"{room}-2")
    await outside.emit("announcement", "rooms", room=[room, f"{room}-2", f"{room}-3"])
    await outside.emit("announcement", "sessions", to=[four[0].socket_id, four[3].socket_id])
    await outside.emit("announcement", "last", room=[room, f"{room}-2"], skip_sid=[four[1].socket_id])
    wanted = [["rooms", "sessions", "last"], ["rooms"], ["rooms", "last"], ["rooms", "sessions", "last"]]
    await until(lambda: [_announced(member) for member in four] == wanted, what="each gets each once")


async def test_it_takes_a_member_out_of_a_room_and_empties_a_room(
    four: list[Member], room: str, outside: socketio.AsyncRedisManager
) -> None:
    await outside.leave_room(four[0].socket_id, "/", room)
    await until(lambda: four[1].notices(room)[-1:] == ["user-0 has left the room"], what="the leave is told")
    assert (await four[0].send(room, "still here?"))["code"] == "not_joined"
    assert (await four[1].call("members", {"room": room}))["count"] == 3
    await outside.close_room(room, "/")
    await until(lambda: all(member.errors for member in four), what="everybody is told")
    assert {(error["code"], error["room"]) for member in four for error in member.errors} == {
        ("not_joined", room)
    }
    assert not any(member.closed.is_set() for member in four)
    assert (await four[2].join("user-2", room))["count"] == 1


async def test_it_disconnects_a_session(
    four: list[Member], room: str, outside: socketio.AsyncRedisManager
) -> None:
    await outside.can_disconnect(four[2].socket_id, "/")
    await until(lambda: four[2].was_disconnected, what="it is disconnected")
    assert not any(member.was_disconnected for member in (four[0], four[1], four[3]))


async def test_formats_of_other_publishers_are_logged_once_for_each_kind(
    four: list[Member], room: str, outside: socketio.AsyncRedisManager, routed: Gateway, store: Any
) -> None:
    kinds = ("pickle", "msgpack", "socketio_redis_adapter", "malformed")
    for _ in range(3):
        await store.publish(
            "socketio", pickle.dumps({"method": "emit", "event": "announcement", "room": room})
        )
        await store.publish("socketio", b"\x82\xa6method\xa4emit\xa5event\xacannouncement")
        await store.publish(f"socket.io#/#{room}#", b"\x93\xa7emitter\x80\x80")
        await store.publish("socketio", b'{"method":"emit","room":{}}')
    await outside.emit("announcement", "good", room=room)
    await until(lambda: all(_announced(member) == ["good"] for member in four), what="the good one arrives")

    def lines(kind: str) -> int:
        return sum("emit_refused" in line and kind in line for line in routed.log().splitlines())

    await until(lambda: all(lines(kind) >= routed.workers for kind in kinds), what="each worker has said so")
    assert {kind: lines(kind) for kind in kinds} == dict.fromkeys(kinds, routed.workers)
    assert "Traceback" not in routed.log()


def _announced(member: Member) -> list[Any]:
    return [arrival.data for arrival in member.arrivals if arrival.name == "announcement"]
