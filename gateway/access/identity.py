"""Who a client is, once that is decided; and the two ways in which it is not.

Owns the words for refusals, which the client sees. A CONNECT_ERROR is final for stock JavaScript clients, and a closed
transport is not: they come back and call their `auth` function again. So who is refused for good gets `NotAdmitted`,
and where it cannot be decided now, `Undecided`. Values only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol


class Reason(StrEnum):
    """Why a client is refused, as its `connect_error` says it. What is wrong with a signature, an issuer, an audience
    or a key is `invalid` to the client; the log and the metric know more."""

    MISSING = "missing"
    MALFORMED = "malformed"
    EXPIRED = "expired"
    NOT_YET = "not_yet"
    INVALID = "invalid"
    REVOKED = "revoked"
    BANNED = "banned"
    TOO_MANY_CONNECTIONS = "too_many_connections"


class NotAdmitted(Exception):
    """The client is refused. `cause` is for the log and the metric `gateway_auth_total`: a short word, never a part of
    a token."""

    def __init__(
        self, reason: Reason, sentence: str, cause: str = "", retry_after_ms: int | None = None
    ) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.sentence = sentence
        self.cause = cause or reason.value
        self.retry_after_ms = retry_after_ms

    @property
    def code(self) -> str:
        """The code of the error table."""
        return "forbidden" if self.reason in _FORBIDDEN else "unauthorized"

    def as_data(self) -> dict[str, Any]:
        """The data of the `connect_error` event of a client."""
        data = {"code": self.code, "reason": self.reason.value, "retryable": self.retry_after_ms is not None}
        return data if self.retry_after_ms is None else {**data, "retry_after_ms": self.retry_after_ms}


_FORBIDDEN = (Reason.BANNED, Reason.TOO_MANY_CONNECTIONS)
"""Who these clients are is known."""


class Undecided(Exception):
    """It cannot be decided now who the client is: no keys, or a hook that does not answer. Its transport is closed."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a client is.

    user          the application's id of the user (`sub`, 1 to 128 characters); empty for a guest
    name          the display name that the token fixes; None where the client chooses one when it joins
    token_id      `jti`, for revocation; empty if the token has none
    issued_at_s   Unix time at which the token counts as issued
    expires_at_s  Unix time at which the token ends; None for a guest
    grants        room pattern → operations that the token grants there (its claim `rooms`)
    """

    user: str = ""
    name: str | None = None
    token_id: str = ""
    issued_at_s: float = 0.0
    expires_at_s: float | None = None
    grants: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def is_guest(self) -> bool:
        """Whether nobody vouches for this client."""
        return not self.user


GUEST = Identity()


def without_token(is_required: bool) -> Identity:
    """Who shows no token: a guest. Raises NotAdmitted where one is required."""
    if is_required:
        raise NotAdmitted(Reason.MISSING, "A token is required.", "missing")
    return GUEST


class Identifier(Protocol):
    """Who decides who a client is."""

    @property
    def counts_tokens(self) -> bool:
        """Whether a token says anything; where it does not, nobody is asked for one, and nothing is said of them."""

    async def identify(self, token: str | None) -> Identity:
        """The identity of who shows this token, or none. Raises NotAdmitted or Undecided."""


FindToken = Callable[[object, Mapping[str, str]], str | None]
"""Where a client's token is: takes the data of CONNECT, and the handshake's environ. None if there is none."""


class Open:
    """Everybody is a guest; tokens are not looked at."""

    counts_tokens = False

    async def identify(self, token: str | None) -> Identity:
        """A guest, whatever the token."""
        return GUEST


def nowhere(auth: object, environ: Mapping[str, str]) -> None:
    """Where nobody looks for a token."""
