"""Who this worker's sessions are, from CONNECT to the end of their tokens.

1. A token, in CONNECT or in the handshake, says who a client is (`admit`).
2. With a token it gets `welcome`, and some time before the token ends, `expiring`.
3. It may send `refresh` with a new token of the same user, and stays connected.
4. A while after the token has ended, without a new one, it gets `error` and its connection is closed: stock clients
   come back by themselves, and show the token that they have then.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from typing import Any

import structlog

from gateway.access.identity import FindToken, Identifier, Identity, NotAdmitted, Undecided
from gateway.access.revocations import Revocations
from gateway.chat.session import Session
from gateway.client_events import ANYBODY, EVENTS_WITH_TOKENS, Refresh, Voice
from gateway.names import normal_form
from gateway.protocol import Refusal

log = structlog.get_logger("gateway.chat")

TOLD_BEFORE_S = (45.0, 75.0)
"""How long before its token ends a client is told: at random in between, so that those who connected together do not
all refresh in one second (docs/identity.md)."""

ENDED = "token expired"
"""Why a session ended, for the log."""


class Identities:
    """Finds out who clients are, and ends those whose token has ended."""

    def __init__(
        self,
        identifier: Identifier,
        find_token: FindToken,
        grace_s: float,
        revocations: Revocations | None = None,
    ) -> None:
        """`grace_s` is how long after the end of its token a client stays connected. Without `revocations` nothing is
        ever revoked."""
        self._identifier = identifier
        self._find_token = find_token
        self._grace_s = grace_s
        self._revocations = revocations

    async def admit(self, environ: Mapping[str, str], auth: object) -> Identity:
        """Who a client is by its handshake and the data of its CONNECT. Raises NotAdmitted or Undecided."""
        identity = await self._identifier.identify(self._find_token(auth, environ))
        self._refuse_revoked(identity, environ.get("REMOTE_ADDR"))
        return identity

    def voice(self, identity: Identity) -> Voice:
        """Which events a client has, and under which names it may speak."""
        if not self._identifier.counts_tokens:
            return ANYBODY
        name = normal_form(identity.name) if identity.name is not None else None
        return Voice(EVENTS_WITH_TOKENS, name, name or normal_form(identity.user) or None, True)

    def welcome(self, session: Session) -> None:
        """CONNECT was answered: who showed a token is told what it says."""
        identity = session.identity
        if identity.is_guest:
            return
        about = {"user": identity.user, "username": session.voice.default_name}
        session.emit("welcome", {**about, "expires_at": _ms(identity.expires_at_s), "now": _ms(time.time())})
        self._watch(session)

    async def refresh(self, session: Session, event: Refresh, ack: int | None) -> None:
        """A client shows a new token: it must be the same user's. Raises Refusal."""
        try:
            identity = await self._identifier.identify(event.token)
            self._refuse_revoked(identity, session.address)
        except NotAdmitted as refused:
            raise Refusal(refused.code, refused.sentence, reason=refused.reason.value) from refused
        except Undecided as undecided:
            raise Refusal("unavailable", "Your token cannot be checked now; try again.") from undecided
        if identity.user != session.identity.user:
            raise Refusal("forbidden", "This token is another user's.")
        session.identity, session.voice = identity, self.voice(identity)
        self._watch(session)
        session.acknowledge(ack, {"ok": True, "expires_at": _ms(identity.expires_at_s)})

    def _refuse_revoked(self, identity: Identity, address: str | None) -> None:
        """Raises NotAdmitted for who is revoked or banned, and Undecided where a user has come before this worker knows
        who is: Redis has been away since it started."""
        if self._revocations is None:
            return
        if (refused := self._revocations.refuses(identity, address, time.time())) is not None:
            raise refused
        if not self._revocations.is_known and not identity.is_guest:
            raise Undecided

    # -- the end of a token

    def _watch(self, session: Session) -> None:
        """Tells the session before its token ends, and ends it some time afterwards."""
        expires_at_s = session.identity.expires_at_s
        self.forget(session)
        if expires_at_s is not None and not session.is_over:
            self._ring(session, expires_at_s - _told_before_s(expires_at_s - time.time()), self._tell)

    def forget(self, session: Session) -> None:
        """The session is over, or has another token."""
        if session.expiry is not None:
            session.expiry.cancel()
            session.expiry = None

    def _tell(self, session: Session) -> None:
        expires_at_s = session.identity.expires_at_s
        assert expires_at_s is not None
        left_s = max(0.0, expires_at_s - time.time())
        session.emit("expiring", {"expires_at": _ms(expires_at_s), "in_ms": _ms(left_s)})
        self._ring(session, expires_at_s + self._grace_s, self._end)

    def _end(self, session: Session) -> None:
        session.expiry = None
        log.info("session_expired", session=session.sid, user=session.identity.user)
        session.tell(Refusal("unauthorized", "Your token has expired.", reason="expired"))
        session.socket.end(ENDED)

    def _ring(self, session: Session, at_s: float, what: Any) -> None:
        delay_s = max(0.0, at_s - time.time())
        session.expiry = asyncio.get_running_loop().call_later(delay_s, what, session)


def _told_before_s(left_s: float) -> float:
    """How long before the end of a token its holder is told. Of one that ends sooner it is told half-way: told at once,
    a client that refreshes whenever it is told would do nothing else."""
    least_s, most_s = TOLD_BEFORE_S
    return random.uniform(least_s, min(left_s, most_s)) if left_s > least_s else left_s / 2


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)
