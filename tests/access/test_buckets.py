"""Token buckets: an average, a burst, and how long to wait."""

from __future__ import annotations

import pytest

from gateway.access.rates import Bucket, Rate


def test_a_burst_passes_and_the_next_one_is_told_how_long_to_wait() -> None:
    bucket = Bucket(Rate.of(10, 3))
    assert [bucket.take(100.0) for _ in range(3)] == [0, 0, 0]
    assert bucket.take(100.0) == pytest.approx(0.1, abs=0.001)


def test_tokens_come_back_at_the_rate_and_no_more_than_the_burst() -> None:
    bucket = Bucket(Rate.of(10, 3))
    for _ in range(3):
        bucket.take(0.0)
    assert [bucket.take(0.1), bucket.take(0.1) > 0] == [0, True]
    assert [bucket.take(60.0) for _ in range(3)] == [0, 0, 0]
    assert bucket.take(60.0) > 0


def test_what_is_refused_costs_nothing() -> None:
    bucket = Bucket(Rate.of(1, 1))
    bucket.take(0.0)
    assert [bucket.take(0.5) > 0 for _ in range(50)] == [True] * 50
    assert bucket.take(1.0) == 0


def test_a_rate_of_zero_is_no_limit() -> None:
    bucket = Bucket(Rate.of(0, 0))
    assert [bucket.take(0.0) for _ in range(1000)] == [0] * 1000
