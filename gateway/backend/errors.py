"""What a call of the server API can end with: one kind of error, whoever refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

UNREACHABLE = "unreachable"
"""The client's own code: no connection, or no whole answer in time. Whether the call was done is not known."""
BAD_ANSWER = "bad_answer"
"""The client's own code: what answered is not the server API. A balancer, or another URL than was meant."""


class BackendError(Exception):
    """A call was refused, or nobody answered it.

    code           of the gateway's error table (docs/protocol.md), or `unreachable` or `bad_answer`
    message        a sentence for whoever reads the log
    retryable      whether the same call may succeed later
    status         of HTTP; 0 where there was no answer, and for a command of a batch
    retry_after_s  how long the gateway asks to wait; None where it says nothing
    about          what else the gateway says of the cause, such as `reason`
    """

    def __init__(
        self,
        code: str,
        message: str,
        retryable: bool,
        status: int = 0,
        retry_after_s: float | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        # All of them, in this order: so the error can be pickled, as Celery does with what a task raises.
        super().__init__(code, message, retryable, status, retry_after_s, dict(about or {}))
        self.code = code
        self.message = message
        self.retryable = retryable
        self.status = status
        self.retry_after_s = retry_after_s
        self.about = dict(about or {})

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


_KNOWN = ("code", "message", "retryable", "retry_after_ms")


def is_refusal(answer: object) -> bool:
    """Whether an answer is a refusal in the form of the error table."""
    return isinstance(answer, dict) and isinstance(answer.get("code"), str) and "retryable" in answer


def refusal(answer: Mapping[str, Any], status: int = 0, retry_after: str | None = None) -> BackendError:
    """The error of a refusal; `retry_after` is the header."""
    after_ms = answer.get("retry_after_ms")
    return BackendError(
        answer["code"],
        str(answer.get("message", "")),
        bool(answer.get("retryable")),
        status,
        after_ms / 1000 if isinstance(after_ms, int | float) else seconds_of(retry_after),
        {name: value for name, value in answer.items() if name not in _KNOWN},
    )


def seconds_of(retry_after: str | None) -> float | None:
    """The header `Retry-After`, where it is a number of seconds."""
    text = (retry_after or "").strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) < 9 else None


def unreachable(why: str) -> BackendError:
    """Nobody answered."""
    return BackendError(UNREACHABLE, why, True)


def bad_answer(why: str, status: int, retry_after: str | None = None) -> BackendError:
    """Somebody else answered. A balancer that has nobody to ask (502, 503, 504) may have somebody soon."""
    return BackendError(BAD_ANSWER, why, status in (502, 503, 504), status, seconds_of(retry_after))
