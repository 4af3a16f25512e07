"""The bus: the worker's ears on Redis.

Owns which connection listens to which channel. On one primary that is one connection; `cluster_bus.py` has one per
primary of a Cluster. `on_lost` gets the channels whose connection is lost; `on_back` runs whenever everything is
subscribed again after some of it was not, `on_moved` when a connection leads to another server than the last
one, with the time when that was last heard (as `time.monotonic` counts).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from gateway import keys
from gateway.delivery.ears import Ears
from gateway.delivery.routes import Route
from gateway.state.endpoints import Finder, open_link
from gateway.state.link import Reply, pack
from gateway.state.listening import Listener, ListenLink
from gateway.state.store import Store


class Bus(Protocol):
    """What the hub needs of the ears, whatever the topology."""

    on_messages: Listener
    on_back: Callable[[], None]
    on_lost: Callable[[list[bytes]], None]
    on_moved: Callable[[float], None]

    @property
    def complaint(self) -> str | None:
        """Why this worker does not hear everything, or None."""

    def subscribe(self, channel: bytes) -> asyncio.Future[None]:
        """Subscribes to a channel; the future is done once it is confirmed."""

    def unsubscribe(self, channel: bytes) -> None:
        """Ends a subscription."""

    def server(self, channel: bytes) -> str:
        """Which server process brings a channel; empty while there is none."""

    async def start(self, limit_s: float) -> None:
        """Connects in the background and waits up to `limit_s` to hear; does not insist on it."""

    async def close(self) -> None:
        """Ends listening."""

    def drop(self, reason: str) -> None:
        """Gives up the present connections and finds the servers again."""


class PrimaryBus:
    """Ears on one primary: a plain server's, or the one that Sentinel names."""

    def __init__(
        self, finder: Finder, store: Store, worker: str, route: Route, probe_s: float, deaf_s: float
    ) -> None:
        self._finder = finder
        self._store = store
        self._worker = worker
        self._probe_channel = keys.worker_probe(worker)
        self._ears = Ears("bus", self._open, route.subscribe_verb, probe_s, deaf_s)
        self._ears.on_messages = self._heard
        self._ears.on_complete = self._complete
        self._ears.on_ended = lambda channel: self._ears.drop("the server ended a subscription")
        self._ears.on_deaf = lambda: store.drop("the bus is deaf")
        self._ears.probe = self._probe
        self._ears.on_up = store.hurry
        self._ears.on_lost = self._lost
        store.on_up.append(self._ears.hurry)
        self.on_messages: Listener = lambda messages: None
        self.on_back: Callable[[], None] = lambda: None
        self.on_lost: Callable[[list[bytes]], None] = lambda channels: None
        self.on_moved: Callable[[float], None] = lambda at_s: None
        self._server = ""
        self._always = [self.subscribe(keys.SOCKETIO_CHANNEL), self.subscribe(self._probe_channel)]

    @property
    def complaint(self) -> str | None:
        return self._ears.complaint

    def subscribe(self, channel: bytes) -> asyncio.Future[None]:
        return self._ears.subscriptions.want(channel)

    def server(self, channel: bytes) -> str:
        return self._ears.server

    def unsubscribe(self, channel: bytes) -> None:
        self._ears.subscriptions.drop(channel)

    async def start(self, limit_s: float) -> None:
        self._ears.start()
        await asyncio.wait(self._always, timeout=limit_s)

    async def close(self) -> None:
        await self._ears.close()

    def drop(self, reason: str) -> None:
        self._ears.drop(reason)

    async def _open(self, make: Callable[[], ListenLink]) -> ListenLink:
        endpoint = await self._finder.find()
        link = await open_link(endpoint, make, f"gateway-{self._worker}-bus", self._finder.must_be_primary)
        if link.server != self._server:
            self._server = link.server
            self.on_moved(self._ears.heard_at_s)
        return link

    def _heard(self, messages: list[tuple[bytes, bytes]]) -> None:
        self.on_messages(messages)

    def _lost(self) -> None:
        self.on_lost(self._ears.subscriptions.channels())

    def _complete(self) -> None:
        self.on_back()

    def _probe(self) -> None:
        """Behind a write, which only a primary accepts and which changes nothing: a demoted one is found out."""
        self._store.submit(keys.WORKERS, pack(b"ZADD", keys.WORKERS, b"XX", b"GT", 0, self._worker), nobody)
        self._store.submit(keys.WORKERS, pack(b"PUBLISH", self._probe_channel, b"?"), nobody)


def nobody(reply: Reply) -> None:
    """Whether a probe arrived is heard, not answered."""
