"""The channels of one primary: a plain server, or the one that Sentinel names.

Owns one connection for subscriptions, and the probe that shows whether it hears. A Cluster has one such connection per
primary (`cluster/pubsub.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway import keys
from gateway.interfaces import CommandStore, PrimaryFinder, RedisEvents, Reply
from gateway.redis.address import Endpoint, open_connection
from gateway.redis.connection import pack
from gateway.redis.server_watch import ServerWatch
from gateway.redis.subscriber import Subscriber
from gateway.redis.subscriber_connection import SubscriberConnection


class PrimaryPubSub:
    """The channels of one primary. Listens to its own connection (`SubscriberEvents`) and to the commands'."""

    def __init__(
        self,
        finder: PrimaryFinder[Endpoint],
        store: CommandStore,
        watch: ServerWatch,
        worker: str,
        subscribe_verb: bytes,
        probe_s: float,
        unresponsive_s: float,
    ) -> None:
        """`store` takes the probes; the times are `Subscriber`'s."""
        self._finder = finder
        self._store = store
        self._watch = watch
        self._worker = worker
        self._probe_channel = keys.worker_probe(worker)
        self._subscriber = Subscriber("pubsub", self._open, subscribe_verb, probe_s, unresponsive_s)
        self._events: RedisEvents | None = None
        self.subscribe(keys.CONTROL)
        self._always = [self.subscribe(keys.SOCKETIO_CHANNEL), self.subscribe(self._probe_channel)]

    @property
    def unhealthy_reason(self) -> str | None:
        return self._subscriber.unhealthy_reason

    @property
    def heard_at_s(self) -> float:
        """When something was last heard (monotonic)."""
        return self._subscriber.heard_at_s

    @property
    def channels(self) -> int:
        """How many this worker wants to hear."""
        return len(self._subscriber.subscriptions)

    def subscribe(self, channel: bytes) -> asyncio.Future[None]:
        return self._subscriber.subscriptions.want(channel)

    def unsubscribe(self, channel: bytes) -> None:
        self._subscriber.subscriptions.drop(channel)

    def server(self, channel: bytes) -> str:
        return self._subscriber.server

    async def start(self, limit_s: float, events: RedisEvents) -> None:
        self._events = events
        self._watch.start(events)
        self._subscriber.start(self, events.on_messages)
        await asyncio.wait(self._always, timeout=limit_s)

    async def close(self) -> None:
        await self._subscriber.close()

    def drop(self, reason: str) -> None:
        self._subscriber.drop(reason)

    async def _open(self, make: Callable[[], SubscriberConnection]) -> SubscriberConnection:
        endpoint = await self._finder.find()
        connection = await open_connection(
            endpoint, make, f"gateway-{self._worker}-pubsub", self._finder.must_be_primary
        )
        self._watch.connected("channels", connection.server, self._subscriber.heard_at_s)
        return connection

    # -- from the commands

    def on_commands_up(self) -> None:
        """The server answers somebody: a connection that waits tries again at once. Channels may be back before the
        commands have left a demoted primary, whose history is an old one: the rooms are repaired then, too."""
        self._subscriber.retry_now()
        if self._events is not None:
            self._events.on_restored()

    def on_slots_moved(self) -> None:
        """One server has no slots."""

    # -- from the connection

    def on_subscriber_up(self) -> None:
        self._store.retry_now()

    def on_subscribed(self) -> None:
        if self._events is not None:
            self._events.on_restored()

    def on_subscription_ended(self, channel: bytes) -> None:
        self._subscriber.drop("the server ended a subscription")

    def on_subscriber_lost(self) -> None:
        if self._events is not None:
            self._events.on_channels_lost(self._subscriber.subscriptions.channels())

    def on_unresponsive(self) -> None:
        self._store.drop("the channels are silent")

    def probe(self) -> None:
        """Behind a write, which only a primary accepts and which changes nothing: a demoted one is found out."""
        self._store.submit(keys.WORKERS, pack(b"ZADD", keys.WORKERS, b"XX", b"GT", 0, self._worker), nobody)
        self._store.submit(keys.WORKERS, pack(b"PUBLISH", self._probe_channel, b"?"), nobody)


def nobody(reply: Reply) -> None:
    """Whether a probe arrived is heard, not answered."""
