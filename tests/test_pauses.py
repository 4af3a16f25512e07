"""Pauses: how they grow and where they end; and the end of one before its time."""

from __future__ import annotations

import asyncio

import pytest

from gateway.pauses import Backoff, woken_within


@pytest.mark.parametrize(
    ("pauses", "expected"),
    [
        (Backoff(1, 10), [1, 2, 4, 8, 10, 10]),
        (Backoff(0.05, 2, growth=1.5), [0.05, 0.075, 0.1125, 0.16875, 0.253125, 0.3796875]),
        (Backoff(3, 3), [3, 3, 3, 3, 3, 3]),
        (Backoff(5, 2), [2, 2, 2, 2, 2, 2]),
    ],
)
def test_pauses_grow_up_to_their_limit(pauses: Backoff, expected: list[float]) -> None:
    assert [pauses.pause_s(attempt) for attempt in range(6)] == pytest.approx(expected)


@pytest.mark.parametrize("attempt", [0, 1, 5, 1000, 10**9])
@pytest.mark.parametrize("jitter", [(0.0, 1.0), (0.8, 1.2), (1.0, 1.0)])
def test_chance_is_within_the_jitter_at_every_attempt(attempt: int, jitter: tuple[float, float]) -> None:
    whole_s = Backoff(1, 10).pause_s(attempt)
    for _ in range(200):
        assert jitter[0] * whole_s <= Backoff(1, 10, jitter=jitter).pause_s(attempt) <= jitter[1] * whole_s


async def test_a_pause_ends_when_it_is_woken_or_when_it_is_over() -> None:
    event = asyncio.Event()
    assert await woken_within(event, 0.01) is False
    asyncio.get_running_loop().call_soon(event.set)
    assert await woken_within(event, 60) is True
    assert await woken_within(event, 60) is True, "it is set already"
