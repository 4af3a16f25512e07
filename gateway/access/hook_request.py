"""What the hook that decides about joins is asked, and what its answer means."""

from __future__ import annotations

from typing import Any

from gateway.access.application import Application
from gateway.access.fetching import FetchFailed
from gateway.access.identity import Identity
from gateway.access.join_hook import Answer
from gateway.access.permissions import HookAway
from gateway.access.rights import bits_of

LIMIT_S = 1.0
"""Longest wait for an answer: a join waits for it, and a client for its join."""


class HookRequests:
    """Puts questions about joins to a URL (`join_hook.Questions`)."""

    def __init__(self, url: str, secret: bytes | None) -> None:
        self._application = Application(url, LIMIT_S, () if secret is None else (secret,))

    async def ask(self, identity: Identity, room: str) -> Answer:
        """Puts one question. Raises HookAway."""
        who = {"user": identity.user or None, "name": identity.name}
        try:
            answered = await self._application.ask({"hook": "join", **who, "room": room})
        except FetchFailed as failed:
            raise HookAway(str(failed)) from None
        return _answer(answered.data)

    async def close(self) -> None:
        """Closes the connections."""
        await self._application.close()


def _answer(read: Any) -> Answer:
    """Reads `{"allow": ["join", …], "ttl_s": 60}`; what is anything else is no answer. Raises HookAway."""
    allow = read.get("allow") if isinstance(read, dict) else None
    if not isinstance(allow, list) or not all(isinstance(word, str) for word in allow):
        raise HookAway('its answer is not {"allow": ["join", ...]}')
    ttl_s = read.get("ttl_s", 0)
    is_number = isinstance(ttl_s, int | float) and not isinstance(ttl_s, bool)
    return Answer(bits_of(allow), ttl_s if is_number else 0)
