"""Signed POSTs to one address of the application: what every question and every webhook goes by.

Owns how such a request leaves: signed by Standard Webhooks, without cookies and without a proxy of the environment. No
redirect is followed: addresses are the operator's.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp

from gateway.access.standard_webhooks import signatures


class SignedPosts:
    """The connections to one address, opened by the first request: they need the event loop."""

    def __init__(self, url: str, secrets: Sequence[bytes], at_once: int) -> None:
        """Each of the `secrets` makes a signature; at most `at_once` requests are under way, more wait."""
        self._url = url
        self._secrets = secrets
        self._at_once = at_once
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def post(self, body: bytes, message_id: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """Posts JSON, and gives the answer. Raises what aiohttp raises; the caller limits the time."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), trust_env=False,
                connector=aiohttp.TCPConnector(limit=self._at_once),
            )  # fmt: skip
        signed = signatures(self._secrets, message_id, int(time.time()), body)
        headers = {"Content-Type": "application/json", **signed}
        async with self._session.post(self._url, data=body, headers=headers, allow_redirects=False) as answer:
            yield answer

    async def close(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()
