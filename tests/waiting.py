"""Waiting for a condition, with a limit. The only place of the tests that sleeps."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable

FIRST_PAUSE_S = 0.005
LONGEST_PAUSE_S = 0.05


async def until(
    condition: Callable[[], object] | Callable[[], Awaitable[object]], limit_s: float = 10.0, what: str = ""
) -> None:
    """Returns as soon as `condition` holds; it may be a plain or a coroutine function.

    Raises AssertionError that names `what` after `limit_s` seconds. The condition is tried at least once, and
    once more at the end.
    """
    deadline, pause_s = time.monotonic() + limit_s, FIRST_PAUSE_S
    while not await _holds(condition):
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise AssertionError(f"not within {limit_s:g} s: {what or inspect.getsource(condition).strip()}")
        await asyncio.sleep(min(pause_s, left_s))
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


async def _holds(condition: Callable[[], object]) -> bool:
    outcome = condition()
    return bool(await outcome if inspect.isawaitable(outcome) else outcome)
