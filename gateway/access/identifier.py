"""Decides who a client is by its token.

Owns the way from a token to an identity: its form, the memory of tokens that were verified, the keys, the checks; and
what is counted and logged of it: every answer is counted, refusals are logged with their cause, a few a second. The
client hears less than the log (`identity.Reason`). Never logs a part of a token.
"""

from __future__ import annotations

import time

from gateway.access.identity import Identity, without_token
from gateway.access.refusal_log import RefusalLog
from gateway.access.remembered import Remembered
from gateway.access.tokens import TokenRules, header_of, verify
from gateway.access.verifying_keys import KeySource


class TokenIdentifier:
    """Who a client is by its token; without one a guest, or refused where a token is required."""

    counts_tokens = True

    def __init__(self, keys: KeySource, rules: TokenRules, is_required: bool) -> None:
        self._keys = keys
        self._rules = rules
        self._is_required = is_required
        self._remembered = Remembered()
        self._refusals = RefusalLog()

    async def identify(self, token: str | None) -> Identity:
        """The identity of who shows this token, or none. Raises NotAdmitted or Undecided."""
        return await self._refusals.counted(self._identify(token))

    async def _identify(self, token: str | None) -> Identity:
        if token is None:
            return without_token(self._is_required)
        header, now_s = header_of(token), time.time()
        name = Remembered.name(token)
        if (known := self._remembered.get(name, now_s)) is not None:
            if self._keys.holds(known[1]):
                return known[0]
            self._remembered.drop(name)
        keys = await self._keys.keys_for(header.kid)
        identity, key = verify(token, header, keys, self._rules, now_s)
        self._remembered.keep(name, identity, key)
        return identity
