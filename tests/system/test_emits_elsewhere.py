"""Another process may emit to a room by python-socketio's own write-only publishers, as it could before."""

from __future__ import annotations

import asyncio
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


def _announced(member: Member) -> list[Any]:
    return [arrival.data for arrival in member.arrivals if arrival.name == "announcement"]
