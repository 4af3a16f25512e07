"""Limits that are settable, set small enough to reach."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.support.gateways import Gateway
from tests.support.opener import Opener
from tests.support.waiting import until


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def small(redis_url: str) -> AsyncIterator[Gateway]:
    """One worker with small limits and another system name."""
    limits = {
        "ROOMS_PER_CONNECTION": "3",
        "NOTICES_USERS_MAX": "2",
        "MESSAGE_MAX": "20",
        "SYSTEM_NAME": "Robot",
    }
    named = {f"GATEWAY_{name}": value for name, value in limits.items()}
    async with Gateway(redis_url, workers=1, environment=named) as gateway:
        yield gateway


async def test_a_connection_may_be_in_so_many_rooms(small: Gateway, room: str, connect: Opener) -> None:
    member = await connect(small.url)
    for number in range(3):
        assert (await member.join("ada", f"{room}-{number}"))["ok"] is True
    refused = await member.join("ada", f"{room}-3")
    assert (refused["code"], refused["retryable"]) == ("room_limit", False)
    assert (await member.join("ada", f"{room}-0"))["ok"] is True, "a room it is in does not count again"
    await member.call("leave", {"username": "ada", "room": f"{room}-0"})
    assert (await member.join("ada", f"{room}-3"))["ok"] is True


async def test_rooms_of_many_users_have_no_notices(small: Gateway, room: str, connect: Opener) -> None:
    members = [await connect(small.url) for _ in range(4)]
    for number, member in enumerate(members):
        assert (await member.join(f"user-{number}", room))["count"] == number + 1
    await members[3].send(room, "after")
    await until(lambda: members[0].messages(room), what="the message after the joins")
    assert members[0].notices(room) == ["user-1 has joined the room"]


async def test_the_system_may_have_another_name(small: Gateway, room: str, connect: Opener) -> None:
    first, second = await connect(small.url), await connect(small.url)
    assert (await first.join("Robot", room))["code"] == "name_taken_by_system"
    assert (await first.join("ChatBot", room))["ok"] is True
    await second.join("ada", room)
    await until(lambda: first.received, what="the notice")
    assert first.received[0]["username"] == "Robot"


async def test_messages_may_be_so_long(small: Gateway, room: str, connect: Opener) -> None:
    member = await connect(small.url)
    await member.join("ada", room)
    assert (await member.send(room, "x" * 20))["ok"] is True
    assert (await member.send(room, "x" * 21))["code"] == "too_large"
