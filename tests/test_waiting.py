"""The tests' own patience: what is tried again, and what is not."""

from __future__ import annotations

import time

import pytest

from tests.support.waiting import TRIES, HeldUp, in_time, tried_again, unless_held_up


async def test_a_wrong_answer_fails_at_the_first_try() -> None:
    tries = list[int]()

    @tried_again()
    async def wrong() -> None:
        tries.append(1)
        raise AssertionError("wrong")

    with pytest.raises(AssertionError, match="wrong"):
        await wrong()
    assert len(tries) == 1


async def test_a_try_that_was_held_up_is_followed_by_another() -> None:
    tries = list[int]()

    @tried_again()
    async def slow_at_first() -> None:
        tries.append(1)
        in_time(time.monotonic() - (1.0 if len(tries) < TRIES else 0.0), 0.5)

    await slow_at_first()
    assert len(tries) == TRIES


async def test_one_that_is_held_up_at_each_try_fails() -> None:
    @tried_again()
    async def slow() -> None:
        in_time(time.monotonic() - 1.0, 0.5)

    with pytest.raises(HeldUp):
        await slow()


async def test_what_fails_in_a_calm_moment_is_a_failure() -> None:
    with pytest.raises(ValueError, match="wrong"):
        async with unless_held_up(0.5):
            raise ValueError("wrong")


async def test_what_fails_after_a_stand_still_was_held_up() -> None:
    async def stand_still_and_fail() -> None:
        async with unless_held_up(0.1):
            time.sleep(0.3)  # the stand-still itself
            raise ValueError("wrong")

    with pytest.raises(HeldUp, match="wrong"):
        await stand_still_and_fail()
