"""What the client can end with: one kind of error, whoever refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NO_ANSWER = "no_answer"
"""The client's own code: the connection broke, or no answer came in time. Whether it was done is not known."""
UNREACHABLE = "unreachable"
"""The client's own code: there is no connection."""
CLOSED = "closed"
"""The client's own code: the program has closed the client."""
DISCONNECTED = "disconnected"
"""The client's own code: the gateway has said not to come back."""

_KNOWN = ("ok", "code", "message", "retryable", "retry_after_ms")


class ChatError(Exception):
    """Something was refused, or nobody answered.

    code           of the gateway's error table (docs/protocol.md), or one of the client's own
    message        a sentence for whoever reads the log
    retryable      whether the same may succeed later
    retry_after_s  how long the gateway asks to wait; None where it says nothing
    about          what else the gateway says of the cause, such as `reason` and `operation`
    """

    def __init__(
        self,
        code: str,
        message: str,
        retryable: bool = False,
        retry_after_s: float | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(code, message, retryable, retry_after_s, dict(about or {}))
        self.code = code
        self.message = message
        self.retryable = retryable
        self.retry_after_s = retry_after_s
        self.about = dict(about or {})

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


def refusal(answer: Mapping[str, Any]) -> ChatError:
    """The error of a refusal in the form of the gateway's table: an `error`, or an answer that is not `ok`."""
    after_ms = answer.get("retry_after_ms")
    return ChatError(
        str(answer.get("code", "bad_answer")),
        str(answer.get("message", "")),
        bool(answer.get("retryable")),
        after_ms / 1000 if isinstance(after_ms, int | float) else None,
        {name: value for name, value in answer.items() if name not in _KNOWN},
    )
