"""When a call is tried again, and how it becomes bytes and an answer. Pure: no I/O and no clock."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from gateway.backend.calls import Call
from gateway.backend.errors import BackendError, bad_answer, is_refusal, refusal

T = TypeVar("T")

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0
"""Before the second attempt; it doubles from then on."""

TRIED_AGAIN = (0, 429, 502, 503, 504)
"""Statuses after which a call that can be repeated is tried again; 0 is no answer."""


def pause_s(
    call: Call[Any], failed: BackendError, attempts: int, left_s: float, chance: float
) -> float | None:
    """How long to wait after so many attempts; None to give up. `left_s` is what is left of the time for all of them,
    `chance` a random number from 0 to 1: many callers who were refused together do not come back together."""
    if not call.is_repeatable or failed.status not in TRIED_AGAIN or not failed.retryable:
        return None
    wait_s = min(FIRST_PAUSE_S * 2 ** min(attempts - 1, 10), LONGEST_PAUSE_S) * (0.5 + chance / 2)
    if failed.retry_after_s is not None:
        wait_s = failed.retry_after_s + wait_s / 4
    return wait_s if wait_s < left_s else None


def body_of(call: Call[Any]) -> bytes:
    """What is sent. Raises TypeError or ValueError for what is no JSON."""
    return json.dumps(call.sent, allow_nan=False, separators=(",", ":")).encode()


def answer_of(call: Call[T], status: int, retry_after: str | None, body: bytes) -> T:
    """What the call answers. Raises BackendError."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if is_refusal(found):
        raise refusal(found, status, retry_after)
    if status != 200 or not isinstance(found, Mapping):
        raise bad_answer(f"HTTP {status}, and no answer of the server API", status, retry_after)
    try:
        return call.read(found)
    except (KeyError, TypeError, ValueError) as error:
        raise bad_answer(
            f"the answer to {call.method} is not what it should be: {error!r}", status
        ) from error
