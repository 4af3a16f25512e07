"""One timer for all time-outs: in order, in time, and cheap to forget."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from gateway.timers import TimerQueue, Timers
from tests.support.waiting import HeldUp, in_time, stays, tried_again, until

Due = list[tuple[str, float]]


def recording(timers: Timers, length_s: float, due: Due) -> TimerQueue[str]:
    """A queue whose time-outs are put into `due`, with their names, as they fall due."""

    def on_due(name: str, due_s: float) -> None:
        due.append((name, due_s))

    return timers.queue(length_s, on_due)


@pytest.fixture
async def timers() -> AsyncIterator[Timers]:
    timers = Timers()
    yield timers
    timers.close()


async def test_time_outs_of_one_length_fall_due_in_their_order(timers: Timers) -> None:
    due = Due()
    queue = recording(timers, 0.05, due)
    began_s = time.monotonic()
    expected = [(name, queue.add(name)) for name in ("a", "b", "c")]
    await until(lambda: len(due) == 3, 0.5, "all are due")
    assert due == expected
    assert time.monotonic() - began_s >= 0.05


@tried_again(HeldUp)
async def test_a_shorter_time_out_that_is_set_later_is_due_first(timers: Timers) -> None:
    due = Due()
    long = recording(timers, 0.2, due)
    short = recording(timers, 0.02, due)
    began_s = time.monotonic()
    long.add("long")
    short.add("short")
    await until(lambda: due, 0.15, "the shorter one is due")
    in_time(began_s, 0.2)  # else both fell due while the machine stood still
    await until(lambda: len(due) == 2, what="both are due")
    assert [item for item, _ in due] == ["short", "long"]


async def test_what_falls_due_may_set_the_next_one(timers: Timers) -> None:
    due = list[int]()

    def again(item: int, due_s: float) -> None:
        due.append(item)
        if item < 5:
            queue.add(item + 1)

    queue = timers.queue(0.005, again)
    queue.add(1)
    await until(lambda: due == [1, 2, 3, 4, 5], what="each is due")


async def test_a_time_out_of_no_length_is_due_in_another_turn(timers: Timers) -> None:
    due = Due()
    queue = recording(timers, 0.0, due)
    queue.add("now")
    assert due == []
    await until(lambda: due, what="it is due")


async def test_a_time_out_may_count_from_an_earlier_moment(timers: Timers) -> None:
    due = Due()
    queue = recording(timers, 10.0, due)
    assert queue.add("x", time.monotonic() - 9.98) < time.monotonic() + 0.1
    await until(lambda: due, what="it is due")


async def test_thousands_share_one_timer(timers: Timers) -> None:
    due = Due()
    queue = recording(timers, 0.02, due)
    for number in range(10_000):
        queue.add(str(number))
    await until(lambda: len(due) == 10_000, what="all are due")


async def test_nothing_falls_due_after_closing(timers: Timers) -> None:
    due = Due()
    queue = recording(timers, 0.01, due)
    queue.add("never")
    timers.close()
    await stays(lambda: due == [], 0.1)


async def test_time_outs_that_may_be_late_are_handled_together(timers: Timers) -> None:
    handled_s: list[float] = []
    queue: TimerQueue[int] = timers.queue(0.05, lambda item, due_s: handled_s.append(time.monotonic()), 0.1)
    begun_s = time.monotonic()
    dues_s = [queue.add(number, begun_s + number * 0.02) for number in range(5)]
    await until(lambda: len(handled_s) == 5, 2, "all fall due")
    assert dues_s[-1] - dues_s[0] > 0.07
    assert handled_s[-1] - handled_s[0] < 0.02
    assert handled_s[0] >= dues_s[0] + 0.1 - Timers.EARLY_S
