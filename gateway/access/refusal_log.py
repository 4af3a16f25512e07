"""Who is not let in is counted, and a few a second are lines of the log, with the cause that the client is not told."""

from __future__ import annotations

import time
from collections.abc import Awaitable

import structlog

from gateway.access.identity import Identity, NotAdmitted, Undecided
from gateway.metrics import auth
from gateway.transport.refusals import LineBudget

log = structlog.get_logger("gateway.access")


class RefusalLog:
    """The refusals of one worker."""

    def __init__(self) -> None:
        self._lines = LineBudget()

    async def counted(self, identifying: Awaitable[Identity]) -> Identity:
        """What identifying a client comes to, counted."""
        try:
            identity = await identifying
        except NotAdmitted as refused:
            self.note(refused.cause, refused.reason)
            raise
        except Undecided as undecided:
            self.note("undecided", str(undecided))
            raise
        auth.because("guest" if identity.is_guest else "ok")
        return identity

    def note(self, cause: str, reason: str) -> None:
        """Counts one, and logs it unless there were many. Neither text holds a part of a token."""
        auth.because(cause if auth.knows(cause) else "other")
        if (more := self._lines.take(time.monotonic())) is not None:
            log.info("client_not_identified", cause=cause, reason=reason, **more)
