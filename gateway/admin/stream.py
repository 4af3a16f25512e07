"""The one event stream of a page: every `EVERY_S` its regions anew, those that have changed.

Owns the streams of a worker: at most `STREAMS_MAX`, each for at most `LIFE_S`, after which the browser comes back by
itself, shows its cookie again and has it renewed. A browser that does not read for `WRITE_S` is let go.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

import orjson
from aiohttp import web

from gateway.admin.html import Html
from gateway.admin.requests import UNCACHED
from gateway.errors import StoreError
from gateway.pauses import woken_within
from gateway.protocol import Refusal

STREAMS_MAX = 20
EVERY_S = 2.0
LIFE_S = 600.0
WRITE_S = 10.0

Regions = Callable[[], Awaitable[dict[str, Html]]]


class Streams:
    """The streams of one worker."""

    def __init__(self) -> None:
        self._number = 0
        self._ending = asyncio.Event()

    def end(self) -> None:
        """All of them end, and no new one begins."""
        self._ending.set()

    def response(self) -> web.StreamResponse:
        """What a stream is written to. Raises Refusal where there are too many."""
        if self._number >= STREAMS_MAX or self._ending.is_set():
            raise Refusal("rate_limited", "Too many dashboards are open at this worker.")
        headers = {**UNCACHED, "Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
        return web.StreamResponse(headers=headers)

    async def run(
        self, request: web.Request, response: web.StreamResponse, regions: Regions, until_s: float
    ) -> None:
        """Writes until the browser has gone, its time is over, or the worker ends."""
        self._number += 1
        ends_s = min(time.time() + LIFE_S, until_s)
        try:
            await response.prepare(request)
            await self._write(response, b"retry: 2000\n\n")
            await self._go_on(response, regions, ends_s)
        except (ConnectionError, TimeoutError):
            pass  # the browser has gone, or does not read
        finally:
            self._number -= 1

    async def _go_on(self, response: web.StreamResponse, regions: Regions, ends_s: float) -> None:
        shown: dict[str, Html] = {}
        is_over = False
        while not is_over:
            try:
                found = await regions()
                new = {name: html for name, html in found.items() if shown.get(name) != html}
                shown = found
                event = _event("regions", new)
            except (StoreError, Refusal) as error:
                event = _event("trouble", {"sentence": str(error)})
            await self._write(response, event)
            is_over = await woken_within(self._ending, EVERY_S) or time.time() >= ends_s

    async def _write(self, response: web.StreamResponse, data: bytes) -> None:
        async with asyncio.timeout(WRITE_S):
            await response.write(data)


def _event(name: str, data: Mapping[str, str]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (
        name.encode(),
        orjson.dumps({key: str(value) for key, value in data.items()}),
    )
