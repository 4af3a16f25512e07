"""The bus: the worker's ears on Redis.

Owns which connection listens to which channel. On one primary that is one connection; `cluster_bus.py` has one per
primary of a Cluster. `on_lost` gets the channels whose connection is lost; `on_back` runs whenever everything is
subscribed again after some of it was not, `on_moved` when a connection leads to another server than the last
one, with the time when that was last heard (as `time.monotonic` counts).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway import keys
from gateway.interfaces import CommandStore, Listener, PrimaryFinder, Reply
from gateway.redis.address import Endpoint, open_connection
from gateway.redis.connection import pack
from gateway.redis.subscriber import Subscriber
from gateway.redis.subscriber_connection import SubscriberConnection


class PrimaryPubSub:
    """Ears on one primary: a plain server's, or the one that Sentinel names."""

    def __init__(
        self,
        finder: PrimaryFinder[Endpoint],
        store: CommandStore,
        worker: str,
        subscribe_verb: bytes,
        probe_s: float,
        deaf_s: float,
    ) -> None:
        self._finder = finder
        self._store = store
        self._worker = worker
        self._probe_channel = keys.worker_probe(worker)
        self._subscriber = Subscriber("pubsub", self._open, subscribe_verb, probe_s, deaf_s)
        self._subscriber.on_messages = self._heard
        self._subscriber.on_complete = self._complete
        self._subscriber.on_ended = lambda channel: self._subscriber.drop("the server ended a subscription")
        self._subscriber.on_deaf = lambda: store.drop("the bus is deaf")
        self._subscriber.probe = self._probe
        self._subscriber.on_up = store.retry_now
        self._subscriber.on_lost = self._lost
        store.on_up.append(self._subscriber.retry_now)
        self.on_messages: Listener = lambda messages: None
        self.on_back: Callable[[], None] = lambda: None
        self.on_lost: Callable[[list[bytes]], None] = lambda channels: None
        self.on_moved: Callable[[float], None] = lambda at_s: None
        self._server = ""
        self._always = [self.subscribe(keys.SOCKETIO_CHANNEL), self.subscribe(self._probe_channel)]

    @property
    def unhealthy_reason(self) -> str | None:
        return self._subscriber.unhealthy_reason

    def subscribe(self, channel: bytes) -> asyncio.Future[None]:
        return self._subscriber.subscriptions.want(channel)

    def server(self, channel: bytes) -> str:
        return self._subscriber.server

    def unsubscribe(self, channel: bytes) -> None:
        self._subscriber.subscriptions.drop(channel)

    async def start(self, limit_s: float) -> None:
        self._subscriber.start()
        await asyncio.wait(self._always, timeout=limit_s)

    async def close(self) -> None:
        await self._subscriber.close()

    def drop(self, reason: str) -> None:
        self._subscriber.drop(reason)

    async def _open(self, make: Callable[[], SubscriberConnection]) -> SubscriberConnection:
        endpoint = await self._finder.find()
        connection = await open_connection(
            endpoint, make, f"gateway-{self._worker}-bus", self._finder.must_be_primary
        )
        if connection.server != self._server:
            self._server = connection.server
            self.on_moved(self._subscriber.heard_at_s)
        return connection

    def _heard(self, messages: list[tuple[bytes, bytes]]) -> None:
        self.on_messages(messages)

    def _lost(self) -> None:
        self.on_lost(self._subscriber.subscriptions.channels())

    def _complete(self) -> None:
        self.on_back()

    def _probe(self) -> None:
        """Behind a write, which only a primary accepts and which changes nothing: a demoted one is found out."""
        self._store.submit(keys.WORKERS, pack(b"ZADD", keys.WORKERS, b"XX", b"GT", 0, self._worker), nobody)
        self._store.submit(keys.WORKERS, pack(b"PUBLISH", self._probe_channel, b"?"), nobody)


def nobody(reply: Reply) -> None:
    """Whether a probe arrived is heard, not answered."""
