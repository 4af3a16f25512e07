"""`/metrics`: the metrics of all workers of the host, whichever of them was asked.

Owns this worker's number, and what it answers to the others. Promises one answer with every worker that turns, within
`ASK_S` and a little; one that does not shows as `gateway_worker_up` 0. However often it is asked, a worker writes its
lines at most ten times a second: who asks sooner waits for that.
"""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog
from aiohttp import web

from gateway.background import Background
from gateway.metrics import loop_lag_seconds
from gateway.server import exposition, slots
from gateway.server.exposition import Exposition, Form
from gateway.server.gauges import Looked, look
from gateway.server.health import Health
from gateway.server.siblings import NoAnswer, ask
from gateway.transport.paths import serve_path

log = structlog.get_logger("gateway.metrics")

BETWEEN_S = 0.1
"""Least time between two writings: who asks as fast as it can must not hold up the clients."""

LAG_EVERY_S = 0.25
"""Time between two looks at how late the event loop is."""


class Shared:
    """An answer that all who ask share. Whoever asks gets one that was begun after that, so it is never an old one; one
    is made at a time, and one more waits."""

    def __init__(self, make: Callable[[Form], Awaitable[bytes]], background: Background) -> None:
        self._make = make
        self._background = background
        self._turn = asyncio.Lock()
        self._waiting: dict[Form, asyncio.Task[bytes]] = {}

    async def get(self, form: Form) -> bytes:
        """The answer in that form."""
        waiting = self._waiting.get(form)
        if waiting is None:
            waiting = self._waiting[form] = self._background.run(self._next(form), "metrics")
        return await asyncio.shield(waiting)

    async def _next(self, form: Form) -> bytes:
        async with self._turn:
            del self._waiting[form]
            return await self._make(form)


class Scrape:
    """One worker's part of `/metrics`."""

    def __init__(self, health: Health, background: Background) -> None:
        self._health = health
        self._background = background
        self._looked: Looked | None = None
        self._slot: slots.Slot | None = None
        self._folder: Path | None = None  # of the host's workers; None where there is one
        self._workers = 1
        self._exposition = Exposition("0")  # a worker without a number is the only one
        self._written_s = float("-inf")
        self._own = Shared(self._write, background)
        self._whole = Shared(self._gather, background)

    def attach(self, app: web.Application, prefix: str) -> None:
        """Serves it."""
        serve_path(app, "GET", f"{prefix}/metrics", self.metrics)

    def start(self, looked: Looked) -> None:
        """The worker has what gauges look at."""
        self._looked = looked
        self._background.keep(_measure_lag(), "lag of the event loop")

    def join(self, folder: Path, workers: int) -> None:
        """There are `workers` on this host, which share a folder. Without a number the worker serves all the same."""
        self._folder, self._workers = folder, workers
        try:
            self._slot = slots.take(folder, self._health.worker)
            self._exposition = Exposition(str(self._slot.number))
        except OSError as error:
            log.error("slot_not_taken", reason=str(error))

    def leave(self) -> None:
        """The worker ends: its number is free."""
        if self._slot is not None:
            self._slot.leave()

    async def answer(self, question: bytes) -> bytes:
        """This worker's lines, for another worker that asks for a form of them."""
        try:
            return await self._own.get(Form(question))
        except ValueError:
            return b""

    async def _write(self, form: Form) -> bytes:
        """This worker's lines; not sooner than `BETWEEN_S` after the last ones."""
        await asyncio.sleep(max(0.0, self._written_s + BETWEEN_S - time.monotonic()))
        self._written_s = time.monotonic()
        look(self._health, self._looked)
        return self._exposition.text(form)

    async def metrics(self, request: web.Request) -> web.Response:
        """The metrics of all workers, in the form that the client reads, compressed if it likes."""
        form = exposition.form_for(request.headers.get("Accept", ""))
        text = await self._whole.get(form)
        headers = {"Content-Type": form.content_type, "Vary": "Accept, Accept-Encoding"}
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            headers["Content-Encoding"] = "gzip"
            text = await asyncio.to_thread(gzip.compress, text, 1)
        return web.Response(body=text, headers=headers)

    async def _gather(self, form: Form) -> bytes:
        if self._folder is None or self._slot is None:
            return exposition.merged([await self._own.get(form)], form)
        folder, own = self._folder, self._slot.number
        others = {number: worker for number, worker in slots.holders(folder).items() if number != own}
        asked = (ask(folder, worker, form.value) for worker in others.values())
        ours, *answers = await asyncio.gather(self._own.get(form), *asked)
        told: dict[int, bytes | NoAnswer] = {own: ours, **dict(zip(others, answers, strict=True))}
        texts = [text for _, text in sorted(told.items()) if isinstance(text, bytes)]
        return exposition.merged(texts, form, missing(told, self._workers))


def missing(told: dict[int, bytes | NoAnswer], workers: int) -> list[int]:
    """The numbers that should be there and did not answer: those of workers that are silent, and, where fewer than
    `workers` live, the lowest that nobody has."""
    silent = [number for number, one in told.items() if one is NoAnswer.SILENT]
    living = [number for number, one in told.items() if one is not NoAnswer.GONE]
    free = [number for number in range(max([*told, workers]) + 1) if number not in living]
    return sorted(silent + free[: max(0, workers - len(living))])


async def _measure_lag() -> None:
    """Woken four times a second; ended by cancellation."""
    loop = asyncio.get_running_loop()
    while True:
        due_s = loop.time() + LAG_EVERY_S
        await asyncio.sleep(LAG_EVERY_S)
        loop_lag_seconds.observe(max(0.0, loop.time() - due_s))
