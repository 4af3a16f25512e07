"""Waiting for a condition, with a limit; measuring and trying again. The only place of the tests that sleeps.

A limit is meant for a machine that runs: what this process itself was held up does not count against it, so that a
machine that stands still for a second makes no test fail, and a gateway that is a second late does.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

import aiohttp

FIRST_PAUSE_S = 0.005
LONGEST_PAUSE_S = 0.05
HELD_UP_AT_MOST = 3
"""However much it is held up, a wait ends after so many times its limit."""
TRIES = 5
Test = Callable[..., Awaitable[None]]
NOISE = (AssertionError, OSError, aiohttp.ClientError)
"""What a try ends with that the machine has spoiled: too late (TimeoutError is an OSError), or closed for that."""


async def until(
    condition: Callable[[], object] | Callable[[], Awaitable[object]], limit_s: float = 10.0, what: str = ""
) -> None:
    """Returns as soon as `condition` holds; it may be a plain or a coroutine function.

    Raises AssertionError that names `what` after `limit_s` seconds. The condition is tried at least once, and
    once more at the end.
    """
    begun, left_s, pause_s = time.monotonic(), limit_s, FIRST_PAUSE_S
    while True:
        turn_at = time.monotonic()
        if await _holds(condition):
            return
        if left_s <= 0 or turn_at - begun > HELD_UP_AT_MOST * limit_s:
            raise AssertionError(f"not within {limit_s:g} s: {what or inspect.getsource(condition).strip()}")
        late_s = await _pause(min(pause_s, left_s))
        left_s -= time.monotonic() - turn_at - late_s
        pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)


async def stays(condition: Callable[[], object], for_s: float, what: str = "") -> None:
    """Watches that `condition` holds all through `for_s` seconds; raises AssertionError when it does not.

    For what must not happen: there is no condition to wait for, so the time is spent in full. Keep it short.
    """
    deadline = time.monotonic() + for_s
    while time.monotonic() < deadline:
        assert await _holds(condition), f"did not stay so for {for_s:g} s: {what}"
        await asyncio.sleep(LONGEST_PAUSE_S)
    assert await _holds(condition), f"did not stay so for {for_s:g} s: {what}"


class Stopwatch:
    """`async with Stopwatch() as watch:` tells afterwards how long that took, as `seconds`.

    `held_up_s` is how much of it this process was held up: next to nothing on a machine that has nothing else to do.
    `calm_seconds` leaves that out.
    """

    def __init__(self) -> None:
        self.seconds = self.held_up_s = 0.0

    @property
    def calm_seconds(self) -> float:
        """How long it took, without what the machine took."""
        return max(0.0, self.seconds - self.held_up_s)

    async def __aenter__(self) -> Self:
        self._begun = time.monotonic()
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds = time.monotonic() - self._begun
        self._watching.cancel()
        await asyncio.wait([self._watching])

    async def _watch(self) -> None:
        while True:
            self.held_up_s += await _pause(LONGEST_PAUSE_S)


class HeldUp(AssertionError):
    """What a test needs to be quick about took too long, so that its question was not asked."""


def in_time(begun: float, limit_s: float) -> None:
    """Raises HeldUp if more than `limit_s` have passed since the monotonic time `begun`."""
    taken_s = time.monotonic() - begun
    if taken_s >= limit_s:
        raise HeldUp(f"this took {taken_s:.2f} s and had to take less than {limit_s:g} s")


def tried_again(*noise: type[Exception]) -> Callable[[Test], Test]:
    """A test that may need a few tries, because a machine that stands still for 100 ms spoils one.

    What it asserts is wrong only if it is wrong at each of `TRIES` times: then the last failure is the test's. A try
    that knows when it was spoiled raises HeldUp, and names that as the only `noise`; else a try may fail of anything
    in `NOISE`. All that the test changes must be its own, and made anew by each try.
    """

    spoiled = noise or NOISE

    def decorated(test: Test) -> Test:
        @functools.wraps(test)
        async def patient(*arguments: Any, **named: Any) -> None:
            for _ in range(TRIES - 1):
                try:
                    return await test(*arguments, **named)
                except spoiled:
                    continue
            return await test(*arguments, **named)

        return patient

    return decorated


async def _pause(pause_s: float) -> float:
    """Sleeps, and returns how much later than asked it woke; not counting what this process was busy with itself."""
    begun, busy_before_s = time.monotonic(), time.process_time()
    await asyncio.sleep(pause_s)
    busy_s = time.process_time() - busy_before_s
    return max(0.0, time.monotonic() - begun - pause_s - busy_s)


async def _holds(condition: Callable[[], object]) -> bool:
    outcome = condition()
    return bool(await outcome if inspect.isawaitable(outcome) else outcome)
