"""Rooms of the old service, plain lists of JSON without position, are adopted and stay readable for it."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.support.gateways import Gateway
from tests.support.opener import Opener
from tests.support.waiting import until


def _entries(count: int) -> list[dict[str, Any]]:
    now = int(time.time() * 1000)
    return [{"message": f'Grüße "{n}"', "username": "Zoë", "__createdtime__": now + n} for n in range(count)]


async def test_what_the_old_service_wrote_is_history_with_positions(
    routed: Gateway, store: Any, room: str, connect: Opener
) -> None:
    old = _entries(3)
    await store.rpush(f"chat_history_{room}", *map(json.dumps, old))
    member = await connect(routed.url)
    answer = await member.join("ada", room)
    assert [{key: data[key] for key in old[0]} for data in member.received] == old
    assert [position.split(":")[1] for position in member.ids(room)] == ["1", "2", "3"]
    assert (answer["id"], member.received[0]["room"]) == (member.ids(room)[-1], room)


async def test_a_send_goes_on_from_what_the_old_service_wrote(
    routed: Gateway, store: Any, room: str, connect: Opener
) -> None:
    await store.rpush(f"chat_history_{room}", *map(json.dumps, _entries(100)))
    member = await connect(routed.url)
    first = (await member.join("ada", room))["id"]
    sent = await member.send(room, "new")
    assert sent["id"] == f"{first.split(':')[0]}:101"
    await until(lambda: member.ids(room)[-1] == sent["id"], what="the new message")
    assert await store.llen(f"chat_history_{room}") == 100
    late = await connect(routed.url)
    await late.join("late", room)
    stored = [[data for data in each.received if "id" in data] for each in (late, member)]
    assert stored[0] == stored[1][1:]


async def test_the_old_service_can_read_what_the_gateway_writes(
    gateway: Gateway, store: Any, room: str, connect: Opener
) -> None:
    member = await connect(gateway.url)
    await member.join("ada", room)
    await member.send(room, 'hello "you" 👋')
    (stored,) = await store.lrange(f"chat_history_{room}", 0, -1)
    entry = json.loads(stored)
    assert list(entry) == ["message", "username", "__createdtime__"]
    assert (entry["message"], entry["username"]) == ('hello "you" 👋', "ada")
    assert abs(entry["__createdtime__"] - time.time() * 1000) < 60_000


async def test_an_entry_that_nobody_can_read_breaks_nothing(
    gateway: Gateway, store: Any, room: str, connect: Opener
) -> None:
    good = json.dumps(_entries(1)[0])
    await store.rpush(f"chat_history_{room}", good, "not JSON at all", "", "{}", "[1]", good)
    member = await connect(gateway.url)
    assert (await member.join("ada", room))["ok"] is True
    assert [position.split(":")[1] for position in member.ids(room)] == list("123456")
    assert member.messages(room)[0] == member.messages(room)[-1] == 'Grüße "0"'
    assert (await member.send(room, "on we go"))["ok"] is True
    await until(lambda: member.messages(room)[-1] == "on we go", what="the new message")


async def test_rooms_are_kept_for_as_long_as_is_said(
    gateway: Gateway, store: Any, room: str, connect: Opener
) -> None:
    member = await connect(gateway.url)
    await member.join("ada", room)
    await member.send(room, "x", idempotency_key="k")
    day_s = 86_400
    assert 29 * day_s < await store.ttl(f"chat_history_{room}") <= 30 * day_s
    assert 59 * day_s < await store.ttl(f"{{chat_history_{room}}}:meta") <= 60 * day_s
    assert 250 < await store.ttl(f"{{chat_history_{room}}}:sent:g3:ada:k") <= 300
