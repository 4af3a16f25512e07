"""Four workers on one port are one chat: members anywhere, one order, sessions whole without stickiness."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from tests.support.clients import Member, Transport
from tests.support.gateways import Gateway
from tests.support.opener import Opener
from tests.support.spread import one_on_each, worker_of
from tests.support.waiting import until

SENDS_EACH = 60


@pytest.fixture
async def four(routed: Gateway, room: str, connect: Opener) -> list[Member]:
    """A member on each of the four workers, all in the room."""
    members = await one_on_each(routed, connect)
    for number, member in enumerate(members):
        assert (await member.join(f"user-{number}", room))["count"] == number + 1
    return members


async def test_a_message_from_any_worker_reaches_members_on_all(four: list[Member], room: str) -> None:
    ids = [(await member.send(room, "hello"))["id"] for member in four]
    await until(
        lambda: all(member.ids(room) == ids for member in four), what="all get all four, in one order"
    )


async def test_members_on_all_workers_are_counted_and_told(four: list[Member], room: str) -> None:
    for member in four:
        answer = await member.call("members", {"room": room})
        assert (sorted(answer["members"]), answer["count"]) == ([f"user-{n}" for n in range(4)], 4)
    await until(lambda: len(four[0].notices(room)) == 3, what="the first hears of the others")


async def test_concurrent_senders_on_all_workers_are_seen_in_one_order_by_all(
    four: list[Member], room: str, routed: Gateway, connect: Opener
) -> None:
    listeners = await one_on_each(routed, connect)
    for listener in listeners:
        await listener.join("listener", room)
    sent = await asyncio.gather(*(_send_many(member, room, number) for number, member in enumerate(four)))
    total = len(four) * SENDS_EACH
    everyone = [*four, *listeners]
    await until(lambda: all(len(member.ids(room)) >= total for member in everyone), what="all messages")
    orders = {tuple(member.ids(room)) for member in everyone}
    assert len(orders) == 1, "one order for all"
    order = orders.pop()
    assert [int(position.split(":")[1]) for position in order] == list(range(1, total + 1))
    assert sorted(order) == sorted(position for ids in sent for position in ids), (
        "what was acknowledged is what came"
    )
    for number, ids in enumerate(sent):
        texts = [text for text in four[0].messages(room) if text.startswith(f"{number}-")]
        assert texts == [f"{number}-{n}" for n in range(SENDS_EACH)], "each sender's own order is kept"
        assert ids == sorted(ids, key=order.index)


async def test_the_same_idempotency_key_of_one_user_at_two_workers_at_once_stores_once(
    four: list[Member], room: str, store: Any
) -> None:
    one, two = four[0], four[1]
    for member in (one, two):
        assert (await member.join("ada", room))["ok"]
    keys = [f"key-{number}" for number in range(50)]
    answers = await asyncio.gather(
        *(member.send(room, key, idempotency_key=key) for key in keys for member in (one, two))
    )
    pairs = list(zip(answers[::2], answers[1::2], strict=True))
    assert all(first == second and first["ok"] for first, second in pairs)
    await until(
        lambda: all(len(member.ids(room)) >= len(keys) for member in four), what="fifty messages each"
    )
    assert all(sorted(member.messages(room)) == sorted(keys) for member in four)
    assert await store.llen(f"chat_history_{room}") == len(keys)


@pytest.mark.parametrize("keep_alive", [False, True], ids=["each request anew", "kept alive"])
@pytest.mark.parametrize("transport", ["polling", "upgrade"])
async def test_sessions_stay_whole_whichever_worker_a_request_reaches(
    transport: Transport, keep_alive: bool, gateway: Gateway, room: str, connect: Opener
) -> None:
    members = await asyncio.gather(
        *(connect(gateway.url, transport, keep_alive=keep_alive) for _ in range(24))
    )
    names = await gateway.worker_names()
    assert Counter(worker_of(member, names) for member in members).total() == 24
    await asyncio.gather(*(member.join(f"user-{n}", room) for n, member in enumerate(members)))
    await asyncio.gather(*(member.send(room, f"{n}") for n, member in enumerate(members)))
    await until(lambda: all(len(member.ids(room)) == 24 for member in members), what="all messages for all")
    assert len({tuple(member.ids(room)) for member in members}) == 1
    assert {member.transport for member in members} == {"polling" if transport == "polling" else "websocket"}
    assert not any(member.closed.is_set() for member in members)


async def _send_many(member: Member, room: str, number: int) -> list[str]:
    answers = await asyncio.gather(*(member.send(room, f"{number}-{n}") for n in range(SENDS_EACH)))
    return [answer["id"] for answer in answers]
