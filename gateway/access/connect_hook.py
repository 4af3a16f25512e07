"""Asks the application who a client is, instead of reading a token (`GATEWAY_CONNECT_HOOK`).

One POST for each CONNECT that shows something: a session cookie, an opaque token. What the application answers is
judged as the claims of a token are. Owns the bounds: one attempt, `timeout_s`, `IN_FLIGHT_MAX` at once, and a breaker
that asks nobody for a while when half of the last answers failed. What is no answer is `Undecided`: never a guest,
never let in.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
import time
from collections import deque
from typing import Any

import aiohttp
import orjson
import structlog

from gateway.access.fetching import FetchFailed, body_of
from gateway.access.identity import GUEST, Identity, NotAdmitted, Reason, Undecided
from gateway.access.refusal_log import RefusalLog
from gateway.access.tokens import TOKEN_MAX_BYTES, TokenRules, identity_of
from gateway.access.verifying_keys import KeySet
from gateway.errors import Trouble
from gateway.metrics import auth

log = structlog.get_logger("gateway.access")

IN_FLIGHT_MAX = 100
WINDOW = 20
"""The breaker looks at so many last answers, and opens when half of them failed."""
OPEN_S = 5.0
"""For so long nobody is asked then."""


class Breaker:
    """Whether asking is of use. A value: the caller passes the time (monotonic)."""

    def __init__(self) -> None:
        self._last: deque[bool] = deque(maxlen=WINDOW)
        self._open_until_s = float("-inf")

    def is_open(self, now_s: float) -> bool:
        """Whether nobody should be asked now."""
        return now_s < self._open_until_s

    def note(self, has_answered: bool, now_s: float) -> None:
        """How one attempt ended."""
        self._last.append(has_answered)
        if len(self._last) == WINDOW and 2 * sum(self._last) <= WINDOW:
            self._open_until_s = now_s + OPEN_S
            self._last.clear()
            log.warning("connect_hook_rests", for_s=OPEN_S)


class ConnectHook:
    """The application's answer to who a client is."""

    counts_tokens = True
    trouble: Trouble | None = None
    """A hook that is away is found by asking; the worker may be ready all the same."""

    def __init__(
        self, url: str, timeout_s: float, rules: TokenRules, is_required: bool, secrets: KeySet
    ) -> None:
        """`secrets` sign what is asked; empty for no signature."""
        self._url = url
        self._timeout_s = timeout_s
        self._rules = rules
        self._is_required = is_required
        self._secrets = secrets
        self._session: aiohttp.ClientSession | None = None
        self._in_flight = 0
        self._breaker = Breaker()
        self._refusals = RefusalLog()

    async def start(self) -> None:
        """Nothing is asked before a client comes."""
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), trust_env=False,
            connector=aiohttp.TCPConnector(limit=IN_FLIGHT_MAX), timeout=aiohttp.ClientTimeout(self._timeout_s),
        )  # fmt: skip

    async def run(self) -> None:
        """Keeps the connections to the application; ended by cancellation."""
        assert self._session is not None
        async with self._session:
            await asyncio.Event().wait()

    async def identify(self, token: str | None) -> Identity:
        """Who the application says this is. Raises NotAdmitted or Undecided."""
        try:
            identity = await self._identify(token)
        except NotAdmitted as refused:
            self._refusals.note(refused.cause, refused.reason)
            raise
        except Undecided as undecided:
            self._refusals.note("undecided", str(undecided))
            raise
        auth.because("guest" if identity.is_guest else "ok")
        return identity

    async def _identify(self, token: str | None) -> Identity:
        if token is None:
            if self._is_required:
                raise NotAdmitted(Reason.MISSING, "A token is required.", "missing")
            return GUEST
        if len(token) > TOKEN_MAX_BYTES or not token.isprintable():
            raise NotAdmitted(Reason.MALFORMED, "That is not a token.", "too_large")
        if self._in_flight >= IN_FLIGHT_MAX or self._breaker.is_open(time.monotonic()):
            raise Undecided("the connect hook is busy or away")
        self._in_flight += 1
        try:
            answer = await self._ask({"token": token})
        finally:
            self._in_flight -= 1
        return self._read(answer)

    async def _ask(self, question: dict[str, Any]) -> Any:
        """The JSON of a 200; raises NotAdmitted for 401 and 403, Undecided for all else."""
        assert self._session is not None
        body = orjson.dumps(question)
        try:
            async with self._session.post(
                self._url, data=body, headers=self._headers(body), allow_redirects=False
            ) as answer:
                if answer.status not in (200, 401, 403):
                    raise FetchFailed(f"it answers {answer.status}")
                is_refused = answer.status != 200
                found = None if is_refused else orjson.loads(await body_of(answer))
        except (FetchFailed, aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            self._breaker.note(False, time.monotonic())
            raise Undecided(f"connect hook: {type(error).__name__} {error}"[:200]) from None
        self._breaker.note(True, time.monotonic())
        if is_refused:
            raise NotAdmitted(Reason.INVALID, "You are not let in here.", "hook")
        return found

    def _headers(self, body: bytes) -> dict[str, str]:
        """Standard Webhooks: one signature for each secret, so that the application can change it."""
        name, now_s = f"msg_{secrets.token_hex(12)}", str(int(time.time()))
        signed = b".".join((name.encode(), now_s.encode(), body))
        signatures = [
            "v1," + base64.b64encode(hmac.digest(key.material, signed, hashlib.sha256)).decode()
            for key in self._secrets.keys
        ]
        headers = {"Content-Type": "application/json", "webhook-id": name, "webhook-timestamp": now_s}
        return {**headers, "webhook-signature": " ".join(signatures)} if signatures else headers

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
