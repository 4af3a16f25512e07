"""One POST to a webhook: signed, within 5 s, no redirect followed, nothing of the answer read but its status."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Sequence

import aiohttp

from gateway.access.signed_posts import SignedPosts
from gateway.metrics import hook_seconds
from gateway.webhooks.webhook import Webhook

LIMIT_S = 5.0
"""Longest wait for an answer."""

IN_FLIGHT = 4
"""Requests of one webhook and worker at one time."""


class Posting:
    """The way to one webhook."""

    def __init__(self, hook: Webhook, limit_s: float = LIMIT_S) -> None:
        self._hook = hook
        self._limit_s = limit_s
        self._posts = SignedPosts(hook.url, hook.secrets, IN_FLIGHT)

    async def post(self, events: Sequence[bytes]) -> str:
        """Posts events; returns why they were not taken, empty where they were."""
        body = b'{"time_ms":%d,"events":[%b]}' % (time.time_ns() // 1_000_000, b",".join(events))
        begun_s = time.monotonic()
        try:
            async with asyncio.timeout(self._limit_s):
                async with self._posts.post(body, message_id(self._hook.name, events)) as answer:
                    status = answer.status
        except TimeoutError:
            return f"no answer within {self._limit_s:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return type(error).__name__
        finally:
            hook_seconds.of(self._hook.name).observe(time.monotonic() - begun_s)
        return "" if 200 <= status < 300 else f"it answers {status}"

    async def close(self) -> None:
        """Closes the connections."""
        await self._posts.close()


def message_id(hook: str, events: Sequence[bytes]) -> str:
    """The same for the same events, whichever worker posts them and how often."""
    digest = hashlib.sha256(hook.encode())
    for event in events:
        digest.update(b"\0" + event)
    return f"msg_{digest.hexdigest()[:24]}"
