"""The pace: how much of coming and going one stretch of time holds."""

from __future__ import annotations

import asyncio
import time

from gateway.chat.limits import Bucket
from gateway.delivery import pace as module
from gateway.delivery.pace import RATE_STEP_S, STRETCH_S, WAIT_MAX_S, WORK_AT_ONCE, Pace
from tests.waiting import until

SLACK_S = 0.5
"""How late a busy machine may be."""


async def let_in(pace: Pace) -> bool:
    answer = pace.let_in()
    return answer if isinstance(answer, bool) else await answer


async def test_a_little_work_is_done_at_once() -> None:
    pace, done = Pace(), list[int]()
    for number in range(WORK_AT_ONCE):
        pace.do(lambda number=number: done.append(number))  # type: ignore[misc]
    assert done == list(range(WORK_AT_ONCE))
    assert pace.turn() is not None, "no room any more"


async def test_a_storm_is_worked_off_in_order_and_never_more_than_a_little_at_once() -> None:
    pace, done = Pace(), list[tuple[float, int]]()
    for number in range(10 * WORK_AT_ONCE):
        pace.do(lambda number=number: done.append((time.monotonic(), number)))  # type: ignore[misc]
    assert len(done) == WORK_AT_ONCE
    await until(lambda: len(done) == 10 * WORK_AT_ONCE, 5)
    assert [number for _, number in done] == list(range(10 * WORK_AT_ONCE))
    begun = [at for at, _ in done][::WORK_AT_ONCE]
    assert begun[-1] - begun[0] >= 8 * STRETCH_S


async def test_the_loop_turns_between_two_stretches() -> None:
    pace, turns, seen = Pace(), [0], list[int]()

    async def turn() -> None:
        while len(seen) < 5 * WORK_AT_ONCE:
            turns[0] += 1
            await asyncio.sleep(0)

    turning = asyncio.create_task(turn())
    for _ in range(5 * WORK_AT_ONCE):
        pace.do(lambda: seen.append(turns[0]))
    await asyncio.wait_for(turning, 5)
    stretches = [seen[place : place + WORK_AT_ONCE] for place in range(0, len(seen), WORK_AT_ONCE)]
    assert all(len(set(stretch)) == 1 for stretch in stretches)
    assert len({stretch[0] for stretch in stretches}) == len(stretches)


async def test_who_has_gone_away_meanwhile_takes_no_place_from_the_others() -> None:
    pace = Pace()
    gone, *others = [wait for wait in (pace.turn() for _ in range(WORK_AT_ONCE + 3)) if wait is not None]
    gone.cancel()
    assert len(others) == 2
    await asyncio.wait_for(asyncio.gather(*others), 5)


async def test_what_comes_while_others_wait_overtakes_none_of_them() -> None:
    pace, done = Pace(lambda now_s: 1.0, 10), list[int]()  # newcomers leave their place empty
    newcomer = pace.let_in()
    for number in range(2 * WORK_AT_ONCE):
        pace.do(lambda number=number: done.append(number))  # type: ignore[misc]
    async with asyncio.timeout(5):
        while len(done) <= WORK_AT_ONCE:
            await asyncio.sleep(0)  # the moment after the next stretch, not later
    pace.do(lambda: done.append(2 * WORK_AT_ONCE))
    await until(lambda: len(done) == 2 * WORK_AT_ONCE + 1, 5)
    assert done == list(range(2 * WORK_AT_ONCE + 1))
    pace.flush()
    assert newcomer.done() if isinstance(newcomer, asyncio.Future) else not newcomer


async def test_newcomers_get_in_while_sessions_have_much_to_do() -> None:
    pace, done = Pace(), list[int]()
    for number in range(100 * WORK_AT_ONCE):
        pace.do(lambda number=number: done.append(number))  # type: ignore[misc]
    assert await asyncio.wait_for(let_in(pace), 5)
    assert len(done) < 50 * WORK_AT_ONCE


async def test_above_the_rate_newcomers_wait_for_their_turn() -> None:
    pace = Pace(Bucket(100, 1, time.monotonic()).take, 100)
    began_s = time.monotonic()
    assert await asyncio.wait_for(asyncio.gather(*(let_in(pace) for _ in range(31))), 5) == [True] * 31
    assert 30 / 100 - RATE_STEP_S <= time.monotonic() - began_s < 30 / 100 + SLACK_S


async def test_who_would_have_to_wait_too_long_is_refused_at_once() -> None:
    pace = Pace(Bucket(5, 1, time.monotonic()).take, 2)
    assert pace.let_in() is True
    waiting = [asyncio.ensure_future(let_in(pace)) for _ in range(2)]
    await asyncio.sleep(0)
    assert pace.let_in() is False
    assert await asyncio.wait_for(asyncio.gather(*waiting), 5) == [True, True]


async def test_nobody_waits_much_longer_than_a_second() -> None:
    pace = Pace(Bucket(2, 1, time.monotonic()).take)
    began_s = time.monotonic()
    answers = await asyncio.wait_for(asyncio.gather(*(let_in(pace) for _ in range(40))), 5)
    assert time.monotonic() - began_s < WAIT_MAX_S + SLACK_S
    assert answers == sorted(answers, reverse=True), "first come, first served"
    assert 2 <= sum(answers) <= 4


async def test_at_the_end_what_sessions_wait_for_is_done_and_newcomers_are_refused() -> None:
    pace, done = Pace(Bucket(1, 1, time.monotonic()).take), list[int]()
    for number in range(3 * WORK_AT_ONCE):
        pace.do(lambda number=number: done.append(number))  # type: ignore[misc]
    newcomer = asyncio.ensure_future(let_in(pace))
    await asyncio.sleep(0)
    pace.flush()
    assert done == list(range(3 * WORK_AT_ONCE))
    assert await asyncio.wait_for(newcomer, 1) is False


def test_the_figures_fit_together() -> None:
    assert module.STRETCH_S < module.RATE_STEP_S < module.WAIT_MAX_S
