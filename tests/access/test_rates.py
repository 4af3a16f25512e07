"""A bucket as one number: an average, a burst, and how long to wait."""

from __future__ import annotations

import pytest

from gateway.access.rates import Rate


def takes(rate: Rate, full_s: float, times_s: list[float]) -> list[float]:
    """What each of these times is told to wait; what is refused costs nothing."""
    waits = []
    for now_s in times_s:
        waits.append(rate.wait_s(full_s, now_s))
        if not waits[-1]:
            full_s = rate.taken(full_s, now_s)
    return waits


@pytest.mark.parametrize("begun_s", [0.0, 100.0, 1e7])
@pytest.mark.parametrize(("per_s", "burst"), [(10, 20), (3, 7), (0.1, 1), (1000, 100)])
def test_a_burst_passes_and_the_next_one_is_told_how_long_to_wait(
    per_s: float, burst: int, begun_s: float
) -> None:
    waits = takes(Rate.of(per_s, burst), 0.0, [begun_s] * (burst + 1))
    assert waits[:burst] == [0.0] * burst
    assert waits[burst] == pytest.approx(1 / per_s, rel=0.01, abs=1e-6)


def test_who_comes_when_it_was_told_is_taken() -> None:
    rate, full_s, now_s = Rate.of(10, 20), 0.0, 5.0
    for _ in range(1000):
        while not (wait_s := rate.wait_s(full_s, now_s)):
            full_s = rate.taken(full_s, now_s)
        now_s += wait_s + 1e-9
        assert rate.wait_s(full_s, now_s) == 0


def test_no_more_comes_back_than_the_burst() -> None:
    waits = takes(Rate.of(10, 3), 0.0, [1.0] * 3 + [1000.0] * 4)
    assert [wait_s > 0 for wait_s in waits] == [False] * 6 + [True]


def test_a_rate_of_zero_is_no_limit() -> None:
    assert takes(Rate.of(0, 1), 0.0, [1.0] * 1000) == [0.0] * 1000
