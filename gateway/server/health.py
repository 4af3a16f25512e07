"""Whether this worker is alive, and whether it should get work. Answers `/healthz` and `/readyz`.

Ready means: commands reach Redis, its channels are heard, and a write of each kind that messages need has passed; and
where tokens count, that there are keys for them.
"""

from __future__ import annotations

import time
from typing import Protocol

from aiohttp import web

from gateway.background import missing_loops
from gateway.errors import Trouble
from gateway.interfaces import CommandStore, PubSub
from gateway.transport.paths import serve_path

UNTRIED = Trouble("no write has passed yet", "")
"""Of a Redis that is connected and has not been asked yet."""


class HasTrouble(Protocol):
    """A part without which a worker is of no use."""

    @property
    def trouble(self) -> Trouble | None:
        """Why it is of no use now, or None."""


class Health:
    """One worker's state, as a load balancer sees it. It exists before the connections to Redis do."""

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self._redis: tuple[CommandStore, PubSub] | None = None
        self._since_s = time.monotonic()
        self._keys: HasTrouble | None = None
        self.is_draining = False
        self.writes: Trouble | None = UNTRIED
        """Why the last write that was asked for did not pass, or None. `readiness.py` sets it."""

    def watch(self, store: CommandStore, pubsub: PubSub) -> None:
        """From now on readiness depends on these two, and on `writes`."""
        self._redis = store, pubsub

    def heed(self, keys: HasTrouble) -> None:
        """From now on readiness depends on these keys, too: without them nobody can be let in."""
        self._keys = keys

    @property
    def lacks_keys(self) -> bool:
        """Whether tokens count and there are no keys for them."""
        return self._keys is not None and self._keys.trouble is not None

    @property
    def store_trouble(self) -> Trouble | None:
        """Why commands do not reach Redis, or None."""
        return self._redis[0].trouble if self._redis is not None else None

    @property
    def unresponsive_or_cut_off(self) -> bool:
        """Whether commands or channels do not reach Redis."""
        return (
            self._redis is None
            or self._redis[0].trouble is not None
            or self._redis[1].unhealthy_reason is not None
        )

    @property
    def is_plain(self) -> bool:
        """Whether something has been refused, where waiting alone changes nothing within seconds."""
        return any(
            ": " in trouble.sentence and "in time" not in trouble.sentence for trouble in self.troubles()
        )

    @property
    def state(self) -> str:
        """The same in a word."""
        return "draining" if self.is_draining else "not_ready" if self.troubles() else "ready"

    def troubles(self) -> list[Trouble]:
        """Why this worker is not ready; empty if it is."""
        found = [Trouble("draining", "")] if self.is_draining else []
        found += [
            Trouble(f"a background task has ended: {name}", "restart the worker") for name in missing_loops()
        ]
        if self._redis is None:
            return [*found, Trouble("starting", "")]
        store, pubsub = self._redis
        if store.trouble is not None:
            found.append(store.trouble)
        if (unhealthy_reason := pubsub.unhealthy_reason) is not None:
            found.append(Trouble(unhealthy_reason, ""))
        if self.writes is not None and (store.trouble is None or self.writes is not UNTRIED):
            found.append(self.writes)
        if self._keys is not None and self._keys.trouble is not None:
            found.append(self._keys.trouble)
        return found

    def reasons(self) -> list[str]:
        """The same as sentences."""
        return [trouble.sentence for trouble in self.troubles()]

    def attach(self, app: web.Application, prefix: str) -> None:
        """Serves what is asked from outside, below `prefix`."""
        serve_path(app, "GET", f"{prefix}/healthz", self.healthz)
        serve_path(app, "GET", f"{prefix}/readyz", self.readyz)

    async def healthz(self, request: web.Request) -> web.Response:
        """200 as long as the event loop turns."""
        up_s = round(time.monotonic() - self._since_s, 1)
        return web.json_response({"status": "ok", "worker": self.worker, "up_s": up_s})

    async def readyz(self, request: web.Request) -> web.Response:
        """200 when ready, else 503; with the worker's id and the reasons."""
        reasons = self.reasons()
        body = {"ready": not reasons, "worker": self.worker, "reasons": reasons}
        return web.json_response(body, status=503 if reasons else 200)
