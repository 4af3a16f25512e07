"""Requests that the engine refuses leave a trace: who runs the gateway sees which clients cannot get in, and why.

Owns the bound of that trace: every refusal is counted, and so many a second are logged.
"""

from __future__ import annotations

import structlog
from aiohttp import web

from gateway.metrics import handshakes_refused, requests_refused

log = structlog.get_logger("gateway.transport")

MALFORMED = "malformed"
"""Why what is no HTTP is refused; nobody knows whether it was to be a handshake."""

LINES_PER_S = 10
"""Lines in a second: enough to see every kind; a client that asks as fast as it can must not fill a disk."""
AGENT_LOGGED = 100
"""Characters of a refused request's User-Agent that the log shows."""
VERSION_LOGGED = 8
"""Characters of what it says to be its protocol version: stock clients say 3 or 4."""


class LineBudget:
    """So many lines of one kind a second, with a count of the rest."""

    def __init__(self) -> None:
        self._second_began_s = 0.0
        self._lines = 0  # logged in this second
        self._unlogged = 0  # since the last line

    def take(self, now_s: float) -> dict[str, int] | None:
        """What to add to a line, or None if it must not be logged; `now_s` is monotonic."""
        if now_s - self._second_began_s >= 1:
            self._second_began_s, self._lines = now_s, 0
        if self._lines >= LINES_PER_S:
            self._unlogged += 1
            return None
        more = {"unlogged_before": self._unlogged} if self._unlogged else {}
        self._lines, self._unlogged = self._lines + 1, 0
        return more


class Refusals:
    """The refusals of one engine."""

    def __init__(self) -> None:
        self._lines = LineBudget()

    def note(self, request: web.Request, reason: str, remote: str | None, now_s: float) -> None:
        """Counts a refusal, and logs it unless there were many in this second; `now_s` is monotonic. A reason that
        `metrics.requests_refused` does not know is counted as `other`."""
        requests_refused.because(reason if requests_refused.knows(reason) else "other")
        if "sid" not in request.query and reason != MALFORMED:
            handshakes_refused.because(reason if handshakes_refused.knows(reason) else "other")
        if (more := self._lines.take(now_s)) is None:
            return
        log.info(
            "request_refused",
            reason=reason,
            method=request.method,
            protocol_version=request.query.get("EIO", "")[:VERSION_LOGGED],
            remote=remote,
            agent=request.headers.get("User-Agent", "")[:AGENT_LOGGED],
            **more,
        )
