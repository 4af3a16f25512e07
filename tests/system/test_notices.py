"""Notices once per user: the first session in, the last one out, and a grace period for who only reloads.

The gateway of these tests has a grace period of one second.
"""

from __future__ import annotations

import asyncio
import time
import uuid

import pytest

from tests.support.clients import Member, Transport
from tests.support.gateways import Gateway
from tests.support.opener import Opener
from tests.support.spread import one_on_each
from tests.support.waiting import Stopwatch, in_time, stays, tried_again, until

GRACE_S = 1.0
TOLD_WITHIN_S = 4.0


@pytest.fixture
async def watcher(gateway: Gateway, room: str, connect: Opener) -> Member:
    """Somebody who is in the room all the time."""
    member = await connect(gateway.url)
    await member.join("watcher", room)
    return member


async def test_a_second_tab_is_silent_and_so_is_its_end(
    watcher: Member, gateway: Gateway, room: str, connect: Opener
) -> None:
    tabs = (await one_on_each(gateway, connect))[:2]
    for tab in tabs:
        assert (await tab.join("ada", room))["count"] == 2
    await tabs[0].call("leave", {"username": "ada", "room": room})
    await tabs[1].send(room, "still here")
    await until(lambda: watcher.messages(room) and watcher.notices(room), what="the message after all that")
    assert watcher.notices(room) == ["ada has joined the room"]
    await tabs[1].call("leave", {"username": "ada", "room": room})
    await until(lambda: len(watcher.notices(room)) == 2, what="the last tab's leave is told")
    assert watcher.notices(room)[1] == "ada has left the room"


async def test_a_closed_tab_of_two_is_never_a_leave(
    watcher: Member, gateway: Gateway, room: str, connect: Opener
) -> None:
    tabs = [await connect(gateway.url), await connect(gateway.url)]
    for tab in tabs:
        await tab.join("ada", room)
    await until(lambda: watcher.notices(room), what="the join is told")
    tabs[0].abort()
    await stays(lambda: watcher.notices(room) == ["ada has joined the room"], GRACE_S + 0.7, "no notice")
    assert (await watcher.call("members", {"room": room}))["count"] == 2


@pytest.mark.parametrize("transport", ["websocket", "polling"])
@tried_again()
async def test_a_reload_is_silent(transport: Transport, gateway: Gateway, connect: Opener) -> None:
    room, watcher = await _fresh_room(gateway, connect)
    page = await connect(gateway.url, transport)
    await page.join("ada", room)
    await until(lambda: watcher.notices(room), what="the join is told")
    closed_at = time.monotonic()
    await page.close()
    again = await connect(gateway.url, transport)
    answer = await again.join("ada", room)
    in_time(closed_at, GRACE_S)
    assert answer["count"] == 2
    await stays(lambda: watcher.notices(room) == ["ada has joined the room"], GRACE_S + 0.7, "no notice")


@tried_again()
async def test_moving_to_another_worker_is_silent(gateway: Gateway, connect: Opener) -> None:
    room, watcher = await _fresh_room(gateway, connect)
    here, there = (await one_on_each(gateway, connect))[:2]
    await here.join("ada", room)
    await until(lambda: watcher.notices(room), what="the join is told")
    dropped_at = time.monotonic()
    here.abort()
    await there.join("ada", room)
    in_time(dropped_at, GRACE_S)
    await stays(lambda: watcher.notices(room) == ["ada has joined the room"], GRACE_S + 0.7, "no notice")


async def test_who_drops_and_stays_away_has_left_after_the_grace_period(
    watcher: Member, gateway: Gateway, room: str, connect: Opener
) -> None:
    ada = await connect(gateway.url)
    await ada.join("ada", room)
    await until(lambda: watcher.notices(room), what="the join is told")
    async with Stopwatch() as watch:
        ada.abort()
        await until(lambda: len(watcher.notices(room)) == 2, what="the leave is told")
    assert watch.seconds > GRACE_S * 0.9
    assert watch.calm_seconds < GRACE_S + TOLD_WITHIN_S
    assert watcher.notices(room)[1] == "ada has left the room"
    assert (await watcher.call("members", {"room": room}))["members"] == ["watcher"]


async def test_all_tabs_dropped_at_once_are_one_leave(
    watcher: Member, gateway: Gateway, room: str, connect: Opener
) -> None:
    tabs = await one_on_each(gateway, connect)
    for tab in tabs:
        await tab.join("ada", room)
    for tab in tabs:
        tab.abort()
    await until(lambda: len(watcher.notices(room)) == 2, GRACE_S + TOLD_WITHIN_S, "joined, left")
    await stays(lambda: len(watcher.notices(room)) == 2, 0.5, "no second notice")
    assert watcher.notices(room) == ["ada has joined the room", "ada has left the room"]


async def test_first_sessions_at_once_are_one_join(
    watcher: Member, gateway: Gateway, room: str, connect: Opener
) -> None:
    tabs = await one_on_each(gateway, connect)
    await asyncio.gather(*(tab.join("ada", room) for tab in tabs))
    await watcher.send(room, "after")
    await until(
        lambda: watcher.messages(room) and watcher.notices(room), what="the message after, the notice"
    )
    await stays(lambda: watcher.notices(room) == ["ada has joined the room"], 0.3, "no second notice")


async def test_a_crowd_is_counted_and_not_told_of_one_by_one(
    gateway: Gateway, room: str, connect: Opener
) -> None:
    crowd = await asyncio.gather(*(connect(gateway.url) for _ in range(204)))
    await asyncio.gather(*(member.join(f"user-{number}", room) for number, member in enumerate(crowd[:200])))
    for number in range(200, 204):
        assert (await crowd[number].join(f"user-{number}", room))["count"] == number + 1
    answer = await crowd[0].call("members", {"room": room})
    assert (len(set(answer["members"])), answer["count"]) == (200, 204)
    await crowd[-1].send(room, "after")
    await until(lambda: all(member.messages(room) for member in crowd), what="the message after the joins")

    def told() -> set[str]:
        return {notice for member in crowd for notice in member.notices(room)}

    await until(lambda: len(told()) >= 199, what="all but the first are told to those who were there")
    assert told() <= {f"user-{number} has joined the room" for number in range(200)}


async def _fresh_room(gateway: Gateway, connect: Opener) -> tuple[str, Member]:
    """A room for one try, and somebody who is in it all the time."""
    room, watcher = f"room-{uuid.uuid4().hex}", await connect(gateway.url)
    await watcher.join("watcher", room)
    return room, watcher
