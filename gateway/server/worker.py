"""The gunicorn worker: aiohttp's, on uvloop when it is installed, and with a drain before it stops.

SIGTERM (also from HUP) and `--max-requests` drain; SIGQUIT, SIGINT and the death of the master close at once. All of
them only ask: `drain.py` owns what happens.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import os
import socket
from types import FrameType
from typing import Any

from aiohttp import web
from aiohttp.worker import GunicornWebWorker

from gateway.background import Background
from gateway.server.access_log import AccessLog
from gateway.server.app import GATEWAY
from gateway.server.drain import Drain
from gateway.settings import Settings
from gateway.transport.http_reading import read_in_turns

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

    def __init__(self, app: web.Application, master_pid: int, workers: int, **how: Any) -> None:
        super().__init__(app, **how)
        self._master_pid = master_pid
        self._workers = workers  # of the host

    async def _make_server(self) -> web.Server:
        engine = self.app[GATEWAY].engine
        return read_in_turns(await super()._make_server(), engine.turns, engine.refusals)

    async def setup(self) -> None:
        """Starts the application, then lets other workers pass connections to it."""
        await super().setup()
        assert self.server is not None
        self.app[GATEWAY].adopt_into(self.server, self._workers)
        spare_the_collector()

    async def cleanup(self) -> None:
        """Stops the application. Nobody waits for a worker whose master is gone."""
        if os.getppid() != self._master_pid:
            self.app[GATEWAY].drain.hurry()
        await super().cleanup()


class GatewayWorker(GunicornWebWorker):
    """One gateway process under gunicorn."""

    _drain: Drain | None = None

    def init_process(self) -> None:
        """Chooses the event loop before it is made: uvloop where it is installed, unless plain asyncio is asked for."""
        wanted = Settings.from_environment().server.loop
        if wanted == "uvloop" or (wanted == "auto" and importlib.util.find_spec("uvloop") is not None):
            asyncio.set_event_loop_policy(importlib.import_module("uvloop").EventLoopPolicy())
        super().init_process()

    async def _run(self) -> None:
        factory = self.wsgi  # type: ignore[has-type]
        self._app: web.Application = await factory()
        self._drain = self._app[GATEWAY].drain
        if self.cfg.reload:
            self._drain.hurry()  # who saves a file wants to see it now
        self.wsgi = self._runner
        # Sockets, not gunicorn's wrappers: uvloop closes what is no socket once more, by a descriptor that may be
        # another's by then.
        listeners: Any = self.sockets
        self.sockets: list[socket.socket] = [listener.sock for listener in listeners]
        background = Background("worker")
        background.keep(self._beat(), "heartbeats to gunicorn")
        try:
            await super()._run()
        finally:
            await background.close()

    async def _runner(self) -> web.AppRunner:
        return GatewayRunner(
            self._app,
            self.ppid,
            self.cfg.workers,
            logger=self.log,
            keepalive_timeout=self.cfg.keepalive,
            access_log_class=AccessLog,
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

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM: drain first, while other requests are still answered, and end then."""
        if self._drain is None:
            self._end()
        else:
            self._drain.begin().add_done_callback(lambda _: self._end())

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """SIGQUIT or SIGINT: close at once."""
        if self._drain is not None:
            self._drain.hurry()
        super().handle_quit(sig, frame)

    def _end(self) -> None:
        """Lets aiohttp's loop end; the runner's clean-up follows."""
        self.alive = False
        self._notify_waiter_done()
