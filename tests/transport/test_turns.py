"""Connections with more work than a moment holds take turns."""

from __future__ import annotations

import asyncio

from gateway.transport.conduct import ODD, POINTS_AT_ONCE, POINTS_PER_S, REFUSED, Conduct
from gateway.transport.turns import Turns


async def test_those_who_wait_take_turns_in_a_circle_and_timers_run_in_between() -> None:
    turns, done = Turns(), []
    left = {"a": 3, "b": 2, "c": 1}

    def take(name: str) -> None:
        done.append(name)
        left[name] -= 1
        if left[name]:
            turns.queue(lambda: take(name))

    for name in left:
        turns.queue(lambda name=name: take(name))  # type: ignore[misc]
    asyncio.get_running_loop().call_later(0, done.append, "timer")
    while any(left.values()):
        await asyncio.sleep(0)
    assert [name for name in done if name != "timer"] == ["a", "b", "c", "a", "b", "a"]
    assert "timer" in done[:-1]


async def test_one_turn_is_taken_in_one_round_of_the_loop() -> None:
    turns, done = Turns(), []
    for number in range(5):
        turns.queue(lambda number=number: done.append(number))  # type: ignore[misc]
    seen = []
    while len(done) < 5:
        await asyncio.sleep(0)
        seen.append(len(done))
    assert all(after - before <= 1 for before, after in zip([0, *seen], seen, strict=False))


async def test_who_comes_waits_for_its_turn_and_one_that_went_away_holds_nobody_up() -> None:
    turns = Turns()
    gone, next_one = asyncio.create_task(turns.come()), asyncio.create_task(turns.come())
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait_for(next_one, 5)
    assert gone.cancelled()


def test_a_stock_client_that_flushes_1000_refused_events_goes_on() -> None:
    conduct = Conduct(0.0)
    assert not any(conduct.charge(REFUSED, 0.0) for _ in range(1000))
    assert not any(conduct.charge(REFUSED, 1.0) for _ in range(1000))


def test_one_that_pings_without_an_end_is_ended() -> None:
    conduct = Conduct(0.0)
    assert [conduct.charge(ODD, 0.0) for _ in range(501)].index(True) == POINTS_AT_ONCE / ODD


def test_what_is_served_slowly_is_ended_all_the_same() -> None:
    conduct, now_s, charged = Conduct(0.0), 0.0, 0
    while not conduct.charge(REFUSED, now_s):
        charged += 1
        conduct.wait(now_s)
        now_s += 0.1  # a slow turn for one event, ten times a second
        conduct.waited(now_s)
    assert charged == POINTS_AT_ONCE


def test_what_is_rare_goes_on_for_ever() -> None:
    conduct = Conduct(0.0)
    each_s = ODD / POINTS_PER_S
    assert not any(conduct.charge(ODD, number * each_s) for number in range(10_000))
