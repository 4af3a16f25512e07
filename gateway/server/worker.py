"""The gunicorn worker: aiohttp's, on uvloop when it is installed, and with a drain before it stops.

SIGTERM (also from HUP) and `--max-requests` drain; SIGQUIT, SIGINT and the death of the master close at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.util
import os
from types import FrameType

from aiohttp import web
from aiohttp.worker import GunicornWebWorker

from gateway.server.app import GATEWAY
from gateway.settings import Settings

COLLECT_EVERY = 10_000
"""New objects between two runs of the garbage collector (Python's default is 700): those of about 300 sessions."""


def spare_the_collector() -> None:
    """Keeps what stands now out of the garbage collector's sight, and calls it seldom: in a storm of new connections
    it stopped a worker for a tenth of a second to walk through modules. Sessions leave no garbage behind for it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY, *gc.get_threshold()[1:])


class GatewayRunner(web.AppRunner):
    """aiohttp's runner, whose server also adopts connections that reached another worker."""

    async def setup(self) -> None:
        await super().setup()
        assert self.server is not None
        self.app[GATEWAY].adopt_into(self.server)
        spare_the_collector()


class GatewayWorker(GunicornWebWorker):
    """One gateway process under gunicorn."""

    def init_process(self) -> None:
        """Chooses the event loop before it is made: uvloop where it is installed, unless plain asyncio is asked for."""
        wanted = Settings.from_environment().loop
        if wanted == "uvloop" or (wanted == "auto" and importlib.util.find_spec("uvloop") is not None):
            asyncio.set_event_loop_policy(importlib.import_module("uvloop").EventLoopPolicy())
        super().init_process()

    async def _run(self) -> None:
        factory = self.wsgi  # type: ignore[has-type]
        self._drain: asyncio.Task[None] | None = None
        self._app: web.Application = await factory()
        self.wsgi = self._runner
        beating = asyncio.create_task(self._beat())
        try:
            await super()._run()
        finally:
            beating.cancel()

    async def _runner(self) -> web.AppRunner:
        self._app.on_shutdown.insert(0, self._stop)
        return GatewayRunner(
            self._app,
            logger=self.log,
            keepalive_timeout=self.cfg.keepalive,
            access_log=self.log.access_log if self.cfg.accesslog else None,
            shutdown_timeout=2.0,
            handler_cancellation=True,
        )

    async def _beat(self) -> None:
        """Tells gunicorn once a second that this worker turns, while it drains too; ended with the worker."""
        while True:
            self.notify()
            await asyncio.sleep(1)

    def _wait_next_notify(self) -> asyncio.Future[bool]:
        """Called once the worker listens, and again every second. aiohttp has cut the listeners' queue to 128, which
        drops the first packets of a storm of new connections for a second: it gets gunicorn's length back."""
        for listener in self.sockets:
            listener.listen(self.cfg.backlog)
        waiting: asyncio.Future[bool] = super()._wait_next_notify()
        return waiting

    async def _stop(self, app: web.Application) -> None:
        """A stop that did not begin with SIGTERM drains here: `--max-requests`, or the master is gone."""
        drain = app[GATEWAY].drain
        if self._is_orphan():
            drain.is_quick = True
        await drain.run()

    def _is_orphan(self) -> bool:
        return bool(self.ppid != os.getppid())

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM: drain first, stop then."""
        if self._drain is None:
            self._drain = self.loop.create_task(self._drain_and_stop())

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """SIGQUIT or SIGINT: close at once."""
        with contextlib.suppress(AttributeError, KeyError):
            self._app[GATEWAY].drain.is_quick = True
        super().handle_quit(sig, frame)

    async def _drain_and_stop(self) -> None:
        await self._app[GATEWAY].drain.run()
        self.alive = False
        self._notify_waiter_done()
