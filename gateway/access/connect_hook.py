"""Asks the application who a client is, instead of reading a token (`GATEWAY_CONNECT_HOOK`).

One POST for each CONNECT that shows something: a session cookie, an opaque token. What the application answers is
judged as the claims of a token are. Owns the bounds: one attempt, `timeout_s`, `IN_FLIGHT_MAX` at once, and a breaker
that asks nobody for a while when half of the last answers failed. What is no answer is `Undecided`: never a guest,
never let in.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import structlog

from gateway.access.application import IN_FLIGHT_MAX, PAUSE_S, Answered, Application, Breaker
from gateway.access.fetching import FetchFailed
from gateway.access.identity import Identity, NotAdmitted, Reason, Undecided, without_token
from gateway.access.refusal_log import RefusalLog
from gateway.access.tokens import TOKEN_MAX_BYTES, TokenRules, identity_of
from gateway.access.verifying_keys import KeySet
from gateway.errors import Trouble

log = structlog.get_logger("gateway.access")


class ConnectHook:
    """The application's answer to who a client is."""

    counts_tokens = True
    trouble: Trouble | None = None
    """A hook that is away is found by asking; the worker may be ready all the same."""

    def __init__(
        self, url: str, timeout_s: float, rules: TokenRules, is_required: bool, secrets: KeySet
    ) -> None:
        """`secrets` sign what is asked; empty for no signature."""
        self._application = Application(url, timeout_s, [key.material for key in secrets.keys])
        self._rules = rules
        self._is_required = is_required
        self._in_flight = 0
        self._breaker = Breaker()
        self._refusals = RefusalLog()

    async def start(self) -> None:
        """Nothing is asked before a client comes."""

    async def run(self) -> None:
        """Keeps the connections to the application; ended by cancellation."""
        try:
            await asyncio.Event().wait()
        finally:
            await self._application.close()

    async def identify(self, token: str | None) -> Identity:
        """Who the application says this is. Raises NotAdmitted or Undecided."""
        return await self._refusals.counted(self._identify(token))

    async def _identify(self, token: str | None) -> Identity:
        if token is None:
            return without_token(self._is_required)
        if len(token) > TOKEN_MAX_BYTES or not token.isprintable():
            raise NotAdmitted(Reason.MALFORMED, "That is not a token.", "too_large")
        if self._in_flight >= IN_FLIGHT_MAX or self._breaker.is_open(time.monotonic()):
            raise Undecided("the connect hook is busy or away")
        self._in_flight += 1
        try:
            answered = await self._ask({"token": token})
        finally:
            self._in_flight -= 1
        if answered.status != 200:
            raise NotAdmitted(Reason.INVALID, "You are not let in here.", "hook")
        return self._read(answered.data)

    async def _ask(self, question: dict[str, Any]) -> Answered:
        """A 200, or a 401 or 403, which refuse; raises Undecided for all else."""
        try:
            answered = await self._application.ask(question, (401, 403))
        except FetchFailed as failed:
            if self._breaker.note(False, time.monotonic()):
                log.warning("connect_hook_rests", for_s=PAUSE_S)
            raise Undecided(f"connect hook: {failed}"[:200]) from None
        self._breaker.note(True, time.monotonic())
        return answered

    def _read(self, answer: Any) -> Identity:
        """The identity of an answer `{user, name?, rooms?, expires_at?}`; raises Undecided for what is none."""
        if not isinstance(answer, dict):
            raise Undecided("the connect hook answers no JSON object")
        now_s = time.time()
        expires_at_s = answer.get("expires_at", int(now_s) + self._rules.age_max_s)
        claims = {
            "sub": answer.get("user"),
            "exp": expires_at_s,
            "iat": int(now_s),
            "rooms": answer.get("rooms"),
        }
        try:
            return identity_of({**claims, self._rules.name_claim: answer.get("name")}, self._rules, now_s)
        except NotAdmitted as wrong:
            raise Undecided(f"the connect hook answers with a bad {wrong.cause}") from None
