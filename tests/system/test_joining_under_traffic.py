"""History, then live: whoever joins a busy room sees no gap and no double between the two."""

from __future__ import annotations

import asyncio

from tests.support.clients import Member
from tests.support.gateways import Gateway
from tests.support.opener import Opener
from tests.support.spread import one_on_each
from tests.support.steady_sender import SteadySender
from tests.support.waiting import until

JOINS, LIVE_AFTER, PER_WORKER = 320, 8, 6
"""Joins in all; live messages that each waits for before it leaves; joining members on each worker."""


async def test_no_gap_and_no_double_over_hundreds_of_joins(
    routed: Gateway, room: str, connect: Opener
) -> None:
    joiners = [member for _ in range(PER_WORKER) for member in await one_on_each(routed, connect)]
    async with (
        SteadySender(routed.url, room, rate=60, username="one"),
        SteadySender(routed.url, room, rate=60, username="two"),
    ):
        rounds = -(-JOINS // len(joiners))
        seen = await asyncio.gather(*(_join_often(m, f"j{n}", room, rounds) for n, m in enumerate(joiners)))
    assert sum(seen) == rounds * len(joiners) >= JOINS


async def test_joining_again_and_again_without_leaving_has_no_gap_either(
    routed: Gateway, room: str, connect: Opener
) -> None:
    member = await connect(routed.url)
    async with SteadySender(routed.url, room, rate=150) as sender:
        for _ in range(40):
            begin = len(member.arrivals)
            answer = await member.join("again", room)
            _is_whole(member, begin, answer["id"])
        last = await sender.stop()
        await until(lambda: _seq(member.ids(room)[-1]) == last, what="the last message")


async def test_a_crowd_that_joins_at_once_sees_the_same(routed: Gateway, room: str, connect: Opener) -> None:
    crowd = await asyncio.gather(*(connect(routed.url) for _ in range(100)))
    async with SteadySender(routed.url, room, rate=100) as sender:
        answers = await asyncio.gather(*(member.join(f"c{n}", room) for n, member in enumerate(crowd)))
        for member, answer in zip(crowd, answers, strict=True):
            _is_whole(member, 0, answer["id"])
        last = await sender.stop()
        await until(lambda: all(_seq(m.ids(room)[-1]) == last for m in crowd), 30, "the last message for all")
    for member in crowd:
        seqs = [_seq(position) for position in member.ids(room)]
        assert seqs == list(range(seqs[0], last + 1))


async def _join_often(member: Member, username: str, room: str, rounds: int) -> int:
    for _ in range(rounds):
        begin = len(member.arrivals)
        answer = await member.join(username, room)
        await _until_live(member, begin)
        await member.call("leave", {"username": username, "room": room})
        _is_whole(member, begin, answer["id"])
    return rounds


async def _until_live(member: Member, begin: int) -> None:
    await until(lambda: len(_live(member, begin)) >= LIVE_AFTER, what=f"{LIVE_AFTER} live messages")


def _is_whole(member: Member, begin: int, joined_at: str) -> None:
    """History up to the acknowledgement's position, at most 100, and on from there by ones.

    What was still live before a repeated join may stand before the history.
    """
    ack = _acknowledged(member, begin)
    history = [
        _seq(a.data["id"]) for a in member.arrivals[begin:ack] if a.name == "receive" and "id" in a.data
    ]
    live = [_seq(a.data["id"]) for a in member.arrivals[ack:] if a.name == "receive" and "id" in a.data]
    joined = _seq(joined_at)
    expected = list(range(max(0, joined - 100) + 1, joined + 1))
    assert history[len(history) - len(expected) :] == expected
    assert live == list(range(joined + 1, joined + 1 + len(live)))


def _acknowledged(member: Member, begin: int) -> int:
    return next(at for at in range(begin, len(member.arrivals)) if member.arrivals[at].name.startswith("ack"))


def _live(member: Member, begin: int) -> list[str]:
    ack = _acknowledged(member, begin)
    return [a.data["id"] for a in member.arrivals[ack:] if a.name == "receive" and "id" in a.data]


def _seq(position: str) -> int:
    return int(position.split(":")[1])
