"""One question to the application: a POST, signed as Standard Webhooks are, and the reading of its answer.

Follows no redirect and no proxy of the environment, keeps no cookies, and reads no more than `BYTES_MAX`. Never logs
what it sends.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
import time
from typing import Any

import aiohttp
import orjson

from gateway.access.identity import Identity
from gateway.access.join_hook import Answer
from gateway.access.permissions import HookAway
from gateway.access.rights import bits_of

LIMIT_S = 1.0
"""Longest wait for an answer: a join waits for it, and a client for its join."""

BYTES_MAX = 65_536
SECRET_BYTES_MIN = 24
"""As Standard Webhooks ask for."""


class HookRequests:
    """Puts questions about joins to a URL (`join_hook.Questions`)."""

    def __init__(self, url: str, secret: bytes | None) -> None:
        self._url = url
        self._secret = secret
        self._session: aiohttp.ClientSession | None = (
            None  # opened by the first question: it needs the event loop
        )

    async def ask(self, identity: Identity, room: str) -> Answer:
        """Puts one question. Raises HookAway."""
        body = orjson.dumps(
            {"hook": "join", "user": identity.user or None, "name": identity.name, "room": room}
        )
        try:
            async with asyncio.timeout(LIMIT_S):
                return _answer(await self._post(body))
        except TimeoutError:
            raise HookAway(f"no answer within {LIMIT_S:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise HookAway(type(error).__name__) from None

    async def _post(self, body: bytes) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)
        headers = {"Content-Type": "application/json", **self._signature(body)}
        async with self._session.post(self._url, data=body, headers=headers, allow_redirects=False) as answer:
            if answer.status != 200:
                raise HookAway(f"it answers {answer.status}")
            found = await answer.content.read(BYTES_MAX + 1)
            while len(found) <= BYTES_MAX and (more := await answer.content.read(BYTES_MAX + 1)):
                found += more
            return found

    def _signature(self, body: bytes) -> dict[str, str]:
        """https://www.standardwebhooks.com: the application can tell that the gateway asks, and when."""
        if self._secret is None:
            return {}
        message_id, at_s = f"msg_{secrets.token_hex(12)}", str(int(time.time()))
        signed = hmac.digest(self._secret, f"{message_id}.{at_s}.".encode() + body, hashlib.sha256)
        signature = f"v1,{base64.b64encode(signed).decode()}"
        return {"webhook-id": message_id, "webhook-timestamp": at_s, "webhook-signature": signature}

    async def close(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()


def _answer(body: bytes) -> Answer:
    """Reads `{"allow": ["join", …], "ttl_s": 60}`; what is anything else is no answer. Raises HookAway."""
    try:
        read: Any = orjson.loads(body) if len(body) <= BYTES_MAX else None
    except ValueError:
        read = None
    allow = read.get("allow") if isinstance(read, dict) else None
    if not isinstance(allow, list) or not all(isinstance(word, str) for word in allow):
        raise HookAway('its answer is not {"allow": ["join", ...]}')
    ttl_s = read.get("ttl_s", 0)
    is_number = isinstance(ttl_s, int | float) and not isinstance(ttl_s, bool)
    return Answer(bits_of(allow), ttl_s if is_number else 0)


def read_secret(text: str) -> bytes:
    """The secret of a file's text: base64, with or without `whsec_` before it. Raises ValueError."""
    try:
        secret = base64.b64decode(text.strip().removeprefix("whsec_"), validate=True)
    except binascii.Error as error:
        raise ValueError("it is not base64") from error
    if len(secret) < SECRET_BYTES_MIN:
        raise ValueError(f"it is shorter than {SECRET_BYTES_MIN} bytes")
    return secret
