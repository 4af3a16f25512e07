"""Admission control: how much of coming and going one slice of time holds."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from gateway.access.rates import Bucket, Rate
from gateway.admission import RATE_STEP_S, SLICE_S, WAIT_MAX_S, WORK_AT_ONCE, AdmissionControl
from tests.support.waiting import until

SLACK_S = 0.5
"""How late a busy machine may be."""


async def admit(admission: AdmissionControl) -> bool:
    answer = admission.admit()
    return answer if isinstance(answer, bool) else await answer


async def test_a_little_work_is_done_at_once() -> None:
    admission, done = AdmissionControl(), list[int]()
    for number in range(WORK_AT_ONCE):
        admission.submit(partial(done.append, number))
    assert done == list(range(WORK_AT_ONCE))
    assert admission.acquire() is not None, "no room any more"


async def test_a_storm_is_worked_off_in_order_and_never_more_than_a_little_at_once() -> None:
    admission, done = AdmissionControl(), list[tuple[float, int]]()

    def work(number: int) -> None:
        done.append((time.monotonic(), number))

    for number in range(10 * WORK_AT_ONCE):
        admission.submit(partial(work, number))
    assert len(done) == WORK_AT_ONCE
    await until(lambda: len(done) == 10 * WORK_AT_ONCE, 5)
    assert [number for _, number in done] == list(range(10 * WORK_AT_ONCE))
    begun = [at for at, _ in done][::WORK_AT_ONCE]
    assert begun[-1] - begun[0] >= 8 * SLICE_S


async def test_the_loop_turns_between_two_slices() -> None:
    admission, turns, seen = AdmissionControl(), [0], list[int]()

    async def turning() -> None:
        while len(seen) < 5 * WORK_AT_ONCE:
            turns[0] += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(turning())
    for _ in range(5 * WORK_AT_ONCE):
        admission.submit(lambda: seen.append(turns[0]))
    await asyncio.wait_for(task, 5)
    slices = [seen[place : place + WORK_AT_ONCE] for place in range(0, len(seen), WORK_AT_ONCE)]
    assert all(len(set(part)) == 1 for part in slices)
    assert len({part[0] for part in slices}) == len(slices)


async def test_who_has_gone_away_meanwhile_takes_no_place_from_the_others() -> None:
    admission = AdmissionControl()
    gone, *others = [
        wait for wait in (admission.acquire() for _ in range(WORK_AT_ONCE + 3)) if wait is not None
    ]
    gone.cancel()
    assert len(others) == 2
    await asyncio.wait_for(asyncio.gather(*others), 5)


async def test_what_comes_while_others_wait_overtakes_none_of_them() -> None:
    admission = AdmissionControl(lambda now_s: 1.0, 10)  # newcomers leave their place empty
    done = list[int]()
    newcomer = admission.admit()
    for number in range(2 * WORK_AT_ONCE):
        admission.submit(partial(done.append, number))
    async with asyncio.timeout(5):
        while len(done) <= WORK_AT_ONCE:
            await asyncio.sleep(0)  # the moment after the next slice, not later
    admission.submit(lambda: done.append(2 * WORK_AT_ONCE))
    await until(lambda: len(done) == 2 * WORK_AT_ONCE + 1, 5)
    assert done == list(range(2 * WORK_AT_ONCE + 1))
    admission.flush()
    assert newcomer.done() if isinstance(newcomer, asyncio.Future) else not newcomer


async def test_newcomers_get_in_while_sessions_have_much_to_do() -> None:
    admission, done = AdmissionControl(), list[int]()
    for number in range(100 * WORK_AT_ONCE):
        admission.submit(partial(done.append, number))
    assert await asyncio.wait_for(admit(admission), 5)
    assert len(done) < 50 * WORK_AT_ONCE


async def test_above_the_rate_newcomers_wait_until_it_allows_them() -> None:
    admission = AdmissionControl(Bucket(Rate.of(100, 1)).take, 100)
    began_s = time.monotonic()
    assert await asyncio.wait_for(asyncio.gather(*(admit(admission) for _ in range(31))), 5) == [True] * 31
    assert 30 / 100 - RATE_STEP_S <= time.monotonic() - began_s < 30 / 100 + SLACK_S


async def test_who_would_have_to_wait_too_long_is_refused_at_once() -> None:
    admission = AdmissionControl(Bucket(Rate.of(5, 1)).take, 2)
    assert admission.admit() is True
    waiting = [asyncio.ensure_future(admit(admission)) for _ in range(2)]
    await asyncio.sleep(0)
    assert admission.admit() is False
    assert await asyncio.wait_for(asyncio.gather(*waiting), 5) == [True, True]


async def test_nobody_waits_much_longer_than_a_second() -> None:
    admission = AdmissionControl(Bucket(Rate.of(2, 1)).take)
    began_s = time.monotonic()
    answers = await asyncio.wait_for(asyncio.gather(*(admit(admission) for _ in range(40))), 5)
    assert time.monotonic() - began_s < WAIT_MAX_S + SLACK_S
    assert answers == sorted(answers, reverse=True), "first come, first served"
    assert 2 <= sum(answers) <= 4


async def test_at_the_end_what_sessions_wait_for_is_done_and_newcomers_are_refused() -> None:
    admission, done = AdmissionControl(Bucket(Rate.of(1, 1)).take), list[int]()
    for number in range(3 * WORK_AT_ONCE):
        admission.submit(partial(done.append, number))
    newcomer = asyncio.ensure_future(admit(admission))
    await asyncio.sleep(0)
    admission.flush()
    assert done == list(range(3 * WORK_AT_ONCE))
    assert await asyncio.wait_for(newcomer, 1) is False


def test_the_figures_fit_together() -> None:
    assert SLICE_S < RATE_STEP_S < WAIT_MAX_S
