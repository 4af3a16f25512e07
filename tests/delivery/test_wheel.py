"""One timer for all time-outs: in order, in time, and cheap to forget."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from gateway.delivery.wheel import Wheel
from tests.waiting import stays, tried_again, until

Due = list[tuple[str, float]]


@pytest.fixture
async def wheel() -> AsyncIterator[Wheel]:
    wheel = Wheel()
    yield wheel
    wheel.close()


@tried_again()
async def test_time_outs_of_one_length_fall_due_in_their_order(wheel: Wheel) -> None:
    due = Due()
    lane = wheel.lane(0.05, lambda item, due_s: due.append((item, due_s)))
    began_s = time.monotonic()
    expected = [(name, lane.add(name)) for name in ("a", "b", "c")]
    await until(lambda: len(due) == 3, what="all are due")
    assert due == expected
    assert 0.05 <= time.monotonic() - began_s < 0.5


@tried_again()
async def test_a_shorter_time_out_that_is_set_later_is_due_first(wheel: Wheel) -> None:
    due = Due()
    long = wheel.lane(0.2, lambda item, due_s: due.append((item, due_s)))
    short = wheel.lane(0.02, lambda item, due_s: due.append((item, due_s)))
    long.add("long")
    short.add("short")
    await until(lambda: len(due) == 2, what="both are due")
    assert [item for item, _ in due] == ["short", "long"]


async def test_what_falls_due_may_set_the_next_one(wheel: Wheel) -> None:
    due = list[int]()

    def again(item: int, due_s: float) -> None:
        due.append(item)
        if item < 5:
            lane.add(item + 1)

    lane = wheel.lane(0.005, again)
    lane.add(1)
    await until(lambda: due == [1, 2, 3, 4, 5], what="each is due")


async def test_a_time_out_of_no_length_is_due_in_another_turn(wheel: Wheel) -> None:
    due = Due()
    lane = wheel.lane(0.0, lambda item, due_s: due.append((item, due_s)))
    lane.add("now")
    assert due == []
    await until(lambda: due, what="it is due")


async def test_a_time_out_may_count_from_an_earlier_moment(wheel: Wheel) -> None:
    due = Due()
    lane = wheel.lane(10.0, lambda item, due_s: due.append((item, due_s)))
    assert lane.add("x", time.monotonic() - 9.98) < time.monotonic() + 0.1
    await until(lambda: due, what="it is due")


async def test_thousands_share_one_timer(wheel: Wheel) -> None:
    due = Due()
    lane = wheel.lane(0.02, lambda item, due_s: due.append((item, due_s)))
    for number in range(10_000):
        lane.add(str(number))
    await until(lambda: len(due) == 10_000, what="all are due")


async def test_nothing_falls_due_after_closing(wheel: Wheel) -> None:
    due = Due()
    lane = wheel.lane(0.01, lambda item, due_s: due.append((item, due_s)))
    lane.add("never")
    wheel.close()
    await stays(lambda: due == [], 0.1)
