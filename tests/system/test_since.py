"""Coming back with the last position: all that was missed, or the last hundred and `recovered: false`."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.clients import Member
from tests.support.gateways import Gateway
from tests.support.opener import Opener
from tests.support.waiting import until


@pytest.fixture
async def sender(routed: Gateway, room: str, connect: Opener) -> Member:
    """A member who stays."""
    member = await connect(routed.url)
    await member.join("sender", room)
    return member


@pytest.mark.parametrize("missed", [0, 1, 2, 99, 100])
async def test_up_to_a_hundred_missed_messages_come_and_nothing_else(
    missed: int, sender: Member, room: str, routed: Gateway, connect: Opener
) -> None:
    seen, after = await _send(sender, room, 5), await _send(sender, room, missed)
    back = await connect(routed.url)
    answer = await back.join("back", room, since=seen[-1])
    assert (answer["recovered"], answer["id"]) == (True, [*seen, *after][-1])
    assert back.ids(room) == after
    live = await _send(sender, room, 1)
    await until(lambda: back.ids(room) == after + live, what="and then live")


async def test_more_than_a_hundred_missed_is_said_and_the_last_hundred_come(
    sender: Member, room: str, routed: Gateway, connect: Opener
) -> None:
    seen, after = await _send(sender, room, 5), await _send(sender, room, 101)
    back = await connect(routed.url)
    answer = await back.join("back", room, since=seen[-1])
    assert (answer["ok"], answer["recovered"]) == (True, False)
    assert back.ids(room) == after[-100:]


async def test_a_position_of_another_epoch_is_not_recovered(
    sender: Member, room: str, routed: Gateway, connect: Opener
) -> None:
    ids = await _send(sender, room, 3)
    back = await connect(routed.url)
    answer = await back.join("back", room, since="another:3")
    assert (answer["ok"], answer["recovered"]) == (True, False)
    assert back.ids(room) == ids


async def test_a_position_that_is_not_yet_is_not_recovered(
    sender: Member, room: str, routed: Gateway, connect: Opener
) -> None:
    ids = await _send(sender, room, 3)
    back = await connect(routed.url)
    answer = await back.join("back", room, since=f"{ids[0].split(':')[0]}:999")
    assert answer["recovered"] is False
    assert back.ids(room) == ids


async def test_the_position_of_an_empty_room_recovers_all(
    room: str, routed: Gateway, connect: Opener
) -> None:
    first, back = await connect(routed.url), await connect(routed.url)
    empty = (await first.join("first", room))["id"]
    ids = await _send(first, room, 4)
    answer = await back.join("back", room, since=empty)
    assert answer["recovered"] is True
    assert back.ids(room) == ids


async def test_without_since_nothing_is_said_of_recovery(
    sender: Member, room: str, connect: Opener, routed: Gateway
) -> None:
    back = await connect(routed.url)
    assert "recovered" not in await back.join("back", room)


async def test_a_member_may_ask_again_what_it_missed(sender: Member, room: str) -> None:
    ids = await _send(sender, room, 10)
    await until(lambda: sender.ids(room) == ids, what="its own messages")
    answer = await sender.join("sender", room, since=ids[6])
    assert answer["recovered"] is True
    assert sender.ids(room) == ids + ids[7:]


async def test_coming_back_under_traffic_has_neither_gap_nor_double(
    sender: Member, room: str, routed: Gateway, connect: Opener
) -> None:
    seen = await _send(sender, room, 1)
    sending = asyncio.create_task(_send_one_by_one(sender, room, 80))
    for _ in range(10):
        back = await connect(routed.url)
        answer = await back.join("back", room, since=seen[-1])
        assert answer["recovered"] is True
        seen += back.ids(room)
        await back.close()
    await sending
    seqs = [int(position.split(":")[1]) for position in seen]
    assert seqs == list(range(1, len(seqs) + 1))


async def _send(member: Member, room: str, count: int) -> list[str]:
    answers = await asyncio.gather(*(member.send(room, str(number)) for number in range(count)))
    return [answer["id"] for answer in answers]


async def _send_one_by_one(member: Member, room: str, count: int) -> None:
    for number in range(count):
        await member.send(room, f"traffic {number}")
