"""The echo app as several gunicorn workers on one port, with the product's own worker class and hand-over.

Owns a private folder for the workers' Unix sockets, for as long as gunicorn's master lives.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web
from gunicorn.app.base import BaseApplication

from gateway.interfaces import HandshakeGate
from gateway.server.app import GATEWAY
from gateway.server.drain import Drain
from gateway.server.handoff import Handoff
from gateway.transport.server import EngineServer

DRAIN_S = 0.2

Build = Callable[[str, HandshakeGate], tuple[web.Application, EngineServer]]
"""Makes a worker's application and engine from the worker's id and its gate."""


class EchoGateway:
    """What the gunicorn worker asks of a gateway: adopting connections, and a drain. The gate of its engine."""

    def __init__(self, build: Build, folder: Path) -> None:
        self.app, self.engine = build(secrets.token_hex(4), self)
        self._folder = folder
        self.drain = Drain(self.engine, self._begin_drain, DRAIN_S)
        self._handoff: Handoff | None = None
        self.app.on_shutdown.append(self.stop)
        self.app.on_cleanup.append(self.close)

    async def admit(self, request: web.Request) -> web.StreamResponse | None:
        """Every handshake is admitted."""
        return None

    async def pass_on(self, request: web.Request, sid: str | None) -> bool:
        """Passes a request to another worker."""
        return self._handoff is not None and await self._handoff.pass_on(request, sid)

    def adopt_into(self, server: web.Server, workers: int) -> None:
        """Lets other workers pass connections to this one's HTTP server."""
        options = self.engine.options
        self._handoff = Handoff(self._folder, options.worker, options.max_payload_bytes)
        self._handoff.open(server)

    async def stop(self, app: web.Application) -> None:
        """Closes the sessions."""
        await self.drain.run()

    async def close(self, app: web.Application) -> None:
        """Stops adopting."""
        if self._handoff is not None:
            await self._handoff.close()

    def _begin_drain(self) -> None:
        if self._handoff is not None:
            self._handoff.begin_drain()


class EchoWorkers(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn without its command line."""

    def __init__(
        self, build: Build, port: int, workers: int, folder: Path, on_ready: Callable[[int], None]
    ) -> None:
        self._build, self._folder = build, folder
        self._options: dict[str, Any] = {
            "bind": f"127.0.0.1:{port}",
            "workers": workers,
            "worker_class": "gateway.server.worker.GatewayWorker",
            "loglevel": "warning",
            "keepalive": 75,
            "graceful_timeout": 2,
            "control_socket_disable": True,
            "when_ready": lambda arbiter: on_ready(arbiter.LISTENERS[0].sock.getsockname()[1]),
        }
        super().__init__()

    def load_config(self) -> None:
        """gunicorn asks for its settings."""
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """gunicorn asks, in each worker, for what makes the application."""
        return self._make

    async def _make(self) -> web.Application:
        gateway = EchoGateway(self._build, self._folder)
        gateway.app[GATEWAY] = gateway  # type: ignore[misc]
        return gateway.app


def serve(build: Build, port: int, workers: int, on_ready: Callable[[int], None]) -> None:
    """Runs until SIGTERM or SIGINT; `on_ready` gets the port when connections are accepted."""
    with tempfile.TemporaryDirectory(prefix="echo-") as folder:
        EchoWorkers(build, port, workers, Path(folder), on_ready).run()
