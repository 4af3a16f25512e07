"""`AsyncBackend`: the server API for asynchronous programs, over aiohttp, which it imports when it is made.

Has one method: `await backend.do(calls.publish("lobby", "Hello"))`. Attempts are as `Backend`'s.
"""

from __future__ import annotations

import asyncio
import random
import time
from types import TracebackType
from typing import Any, TypeVar

from gateway.backend.attempts import answer_of, body_of, pause_s
from gateway.backend.calls import Call
from gateway.backend.client import GIVE_UP_S, TIMEOUT_S, headers_of
from gateway.backend.connections import PATH, Reply, address_of
from gateway.backend.errors import BackendError, unreachable
from gateway.backend.trace import with_trace

T = TypeVar("T")


class AsyncBackend:
    """The server API of a gateway. Belongs to the event loop in which its first call is made."""

    def __init__(
        self, url: str, key: str, *, timeout_s: float = TIMEOUT_S, give_up_s: float = GIVE_UP_S
    ) -> None:
        """As `Backend`. Opens nothing yet. Raises ValueError."""
        self._timeout_s, self._give_up_s = timeout_s, give_up_s
        self._headers = headers_of(key)
        address = address_of(url)
        self._socket_path = address.path if address.scheme == "unix" else None
        self._begin = ("http://localhost" if self._socket_path else url.rstrip("/")) + PATH
        self._session: Any = None

    async def do(self, call: Call[T]) -> T:
        """Makes a call of `gateway.backend.calls`. Raises BackendError; TypeError or ValueError for what is no JSON."""
        body, until_s, attempts = body_of(call), time.monotonic() + self._give_up_s, 0
        while True:
            attempts += 1
            try:
                reply = await self._post(call.method, body)
                return answer_of(call, reply.status, reply.retry_after, reply.body)
            except BackendError as failed:
                wait_s = pause_s(call, failed, attempts, until_s - time.monotonic(), random.random())
                if wait_s is None:
                    raise
            await asyncio.sleep(wait_s)

    async def _post(self, method: str, body: bytes) -> Reply:
        import aiohttp

        if self._session is None:
            connector = aiohttp.UnixConnector(self._socket_path) if self._socket_path else None
            timeout = aiohttp.ClientTimeout(total=self._timeout_s)
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, headers=self._headers)
        try:
            async with self._session.post(
                self._begin + method, data=body, headers=with_trace({}), allow_redirects=False
            ) as response:
                return Reply(response.status, response.headers.get("Retry-After"), await response.read())
        except TimeoutError as error:
            raise unreachable(f"no answer within {self._timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise unreachable(f"no answer: {str(error) or type(error).__name__}") from error

    async def close(self) -> None:
        """Closes the connections that are kept."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> AsyncBackend:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
