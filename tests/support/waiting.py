"""Waiting for a condition, with a limit; measuring; trying again what the machine has spoiled.

A limit is meant for a machine that runs: what this process itself was held up does not count against it, so that a
machine that stands still for a second makes no test fail, and a gateway that is a second late does.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

FIRST_PAUSE_S = 0.005
LONGEST_PAUSE_S = 0.05
HELD_UP_AT_MOST = 3
"""However much it is held up, a wait ends after so many times its limit."""
TRIES = 5
Test = Callable[..., Awaitable[None]]


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
        await asyncio.sleep(0)  # so that it watches from the first moment
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


@asynccontextmanager
async def unless_held_up(at_most_s: float) -> AsyncIterator[Stopwatch]:
    """For a question that must be asked in time: while the block ran, this process was held up no longer than that.

    A block that fails although the process was not held up fails the test. One that fails after the process was held
    up longer raises HeldUp. A block that succeeds has succeeded.
    """
    async with Stopwatch() as watch:
        try:
            yield watch
        except Exception as failed:
            await asyncio.sleep(LONGEST_PAUSE_S)  # the stopwatch looks once more: it may have just gone on
            if watch.held_up_s > at_most_s:
                raise HeldUp(f"held up for {watch.held_up_s:.2f} s, and then: {failed!r}") from failed
            raise


def tried_again(_only: type[HeldUp] = HeldUp) -> Callable[[Test], Test]:
    """Runs a test up to `TRIES` times, as long as each try ends with HeldUp.

    Any other failure is the test's at once: what a test asserts must be right at the first try. A try tells by
    `in_time` or `unless_held_up` that the machine spoiled it. All that the test changes must be its own, and made
    anew by each try.
    """

    def decorated(test: Test) -> Test:
        @functools.wraps(test)
        async def patient(*arguments: Any, **named: Any) -> None:
            for _ in range(TRIES - 1):
                try:
                    return await test(*arguments, **named)
                except HeldUp:
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
