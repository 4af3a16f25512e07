"""How long to wait before the next attempt, and which refusals are final. Values."""

from __future__ import annotations

from gateway.client.errors import ChatError
from gateway.pauses import Backoff

CONNECTING = Backoff(1.0, 30.0, jitter=(0.0, 1.0))
"""Full jitter: of ten thousand whose worker died, no two come back in one moment."""
ASKING = Backoff(0.2, 10.0, jitter=(0.5, 1.0))
STEADY_S = 5.0
"""A connection that lived as long as this was a good one: the next attempt is a first one again."""
REFUSALS_MAX = 2
"""So many refusals in a row that are not to be tried again are final: the second token was fetched anew, and is no
better."""


def connect_pause_s(attempt: int, error: ChatError | None) -> float:
    """Before an attempt to connect; 0 is the first after a good connection."""
    return CONNECTING.pause_s(attempt) + (error.retry_after_s or 0.0 if error is not None else 0.0)


def ask_pause_s(attempt: int, error: ChatError) -> float:
    """Before an event is sent again that was refused, and may succeed later."""
    pause_s = ASKING.pause_s(attempt)
    return pause_s if error.retry_after_s is None else error.retry_after_s + pause_s / 4


def is_final(error: ChatError, in_a_row: int, has_tokens: bool) -> bool:
    """Whether a refused CONNECT ends the client. Without tokens to fetch anew, nothing would be different next time."""
    if error.retryable:
        return False
    return in_a_row >= REFUSALS_MAX or not has_tokens
