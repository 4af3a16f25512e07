"""Whether this worker is alive, and whether it should get work. Answers `/healthz`, `/readyz` and `/metrics`."""

from __future__ import annotations

import time

from aiohttp import web

from gateway import metrics
from gateway.background import missing_loops
from gateway.interfaces import CommandStore, PubSub


class Health:
    """One worker's state, as a load balancer sees it. It exists before the connections to Redis do."""

    def __init__(self, worker: str) -> None:
        self._worker = worker
        self._redis: tuple[CommandStore, PubSub] | None = None
        self._since_s = time.monotonic()
        self.is_draining = False

    def watch(self, store: CommandStore, pubsub: PubSub) -> None:
        """From now on readiness depends on these two."""
        self._redis = store, pubsub

    def reasons(self) -> list[str]:
        """Why this worker is not ready; empty if it is."""
        found = ["draining"] if self.is_draining else []
        found += [f"a background task has ended: {name}" for name in missing_loops()]
        if self._redis is None:
            return [*found, "starting"]
        store, pubsub = self._redis
        if not store.is_up:
            found.append("no connection to the store")
        if (unhealthy_reason := pubsub.unhealthy_reason) is not None:
            found.append(unhealthy_reason)
        return found

    async def healthz(self, request: web.Request) -> web.Response:
        """200 as long as the event loop turns."""
        up_s = round(time.monotonic() - self._since_s, 1)
        return web.json_response({"status": "ok", "worker": self._worker, "up_s": up_s})

    async def readyz(self, request: web.Request) -> web.Response:
        """200 when ready, else 503; with the worker's id and the reasons."""
        reasons = self.reasons()
        body = {"ready": not reasons, "worker": self._worker, "reasons": reasons}
        return web.json_response(body, status=503 if reasons else 200)

    async def metrics(self, request: web.Request) -> web.Response:
        """This worker's counters in Prometheus' text format."""
        return web.Response(text=metrics.text(self._worker))
