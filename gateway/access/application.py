"""Questions to the application: one POST each, signed as Standard Webhooks are; and whether asking is of use.

Follows no redirect and no proxy of the environment, keeps no cookies, reads no more than `BYTES_MAX`, and asks once.
Never logs what it sends. Which questions there are, and what an answer means, is the hooks' (`connect_hook.py`,
`join_hook.py`).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import aiohttp
import orjson

from gateway.access.fetching import FetchFailed, body_of
from gateway.access.signed_posts import SignedPosts
from gateway.access.standard_webhooks import new_id
from gateway.metrics import hook_seconds

IN_FLIGHT_MAX = 100
"""Questions of one hook and worker at one time: an application that is slow gets no more of them for it."""

BYTES_MAX = 65_536
"""Longest answer: it names some operations, or a user with the rooms that it may join."""

WINDOW, PAUSE_S = 20, 5.0
"""Of so many questions more than half must pass; or none is put for so long."""


class Answered(NamedTuple):
    """An answer's status, and its JSON where the status is 200."""

    status: int
    data: Any


class Breaker:
    """Whether asking is of use. A value: the caller passes the time (monotonic)."""

    def __init__(self) -> None:
        self._last: deque[bool] = deque(maxlen=WINDOW)
        self._open_until_s = float("-inf")

    def is_open(self, now_s: float) -> bool:
        """Whether nobody should be asked now."""
        return now_s < self._open_until_s

    @property
    def is_calm(self) -> bool:
        """Whether none of the last questions failed."""
        return all(self._last)

    def note(self, has_answered: bool, now_s: float) -> bool:
        """How one question ended; returns whether nobody is asked for `PAUSE_S` from now on."""
        self._last.append(has_answered)
        opens = len(self._last) == WINDOW and 2 * sum(self._last) <= WINDOW
        if opens:
            self._open_until_s = now_s + PAUSE_S
            self._last.clear()
        return opens


class Application:
    """The way to one address of the application."""

    def __init__(self, url: str, limit_s: float, secrets: Sequence[bytes]) -> None:
        """An answer may take `limit_s`. `secrets` sign what is asked, each with a signature of its own, so that the
        application can change them; without any there is no signature."""
        self._limit_s = limit_s
        self._posts = SignedPosts(url, secrets, IN_FLIGHT_MAX)

    async def ask(self, question: dict[str, Any], refusals: Sequence[int] = ()) -> Answered:
        """Puts one question. Raises FetchFailed for an answer that is neither a 200 with JSON nor one of these
        statuses, and for none."""
        body, begun_s = orjson.dumps(question), time.monotonic()
        try:
            async with asyncio.timeout(self._limit_s):
                return await self._post(body, refusals)
        except TimeoutError:
            raise FetchFailed(f"no answer within {self._limit_s:g} s") from None
        except ValueError:
            raise FetchFailed("its answer is no JSON") from None
        except (aiohttp.ClientError, OSError) as error:
            raise FetchFailed(type(error).__name__) from None
        finally:
            hook_seconds.of(question.get("hook", "connect")).observe(time.monotonic() - begun_s)

    async def _post(self, body: bytes, refusals: Sequence[int]) -> Answered:
        async with self._posts.post(body, new_id()) as answer:
            if answer.status in refusals:
                return Answered(answer.status, None)
            if answer.status != 200:
                raise FetchFailed(f"it answers {answer.status}")
            return Answered(200, orjson.loads(await body_of(answer, BYTES_MAX)))

    async def close(self) -> None:
        """Closes the connections."""
        await self._posts.close()
