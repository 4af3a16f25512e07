"""The channels of a Redis Cluster: one connection for subscriptions per primary.

Owns which primary each channel is listened to at: a room's sharded channel lives in the slot of the room's keys, so its
subscription follows the slot. Each connection is probed through its own primary.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from redis.crc import key_slot

from gateway import keys
from gateway.background import Background
from gateway.interfaces import RedisEvents
from gateway.redis.address import open_connection
from gateway.redis.cluster.commands import ClusterCommands
from gateway.redis.cluster.slot_map import Address
from gateway.redis.connection import pack
from gateway.redis.pubsub import nobody
from gateway.redis.server_watch import ServerWatch
from gateway.redis.subscriber import Subscriber
from gateway.redis.subscriber_connection import SubscriberConnection


class ClusterPubSub:
    """The channels of all primaries. Listens to the commands and, by a `_Primary` each, to its connections."""

    def __init__(
        self, store: ClusterCommands, watch: ServerWatch, worker: str, probe_s: float, unresponsive_s: float
    ) -> None:
        """`store` knows the map of slots and takes the probes; the times are `Subscriber`'s."""
        self._store = store
        self._watch = watch
        self._worker = worker
        self._probe_s, self._unresponsive_s = probe_s, unresponsive_s
        self._primaries: dict[Address, _Primary] = {}
        self._wanted: dict[bytes, asyncio.Future[None]] = {}
        self._places: dict[bytes, Address] = {}  # channel -> the primary that it is listened to at
        self._background = Background("cluster pubsub")
        self._events: RedisEvents | None = None
        self._left_at_s = 0.0  # when a connection that is gone was last heard
        self.subscribe(keys.CONTROL)
        self._always = [self.subscribe(keys.SOCKETIO_CHANNEL)]

    @property
    def unhealthy_reason(self) -> str | None:
        if not self._primaries:
            return "not subscribed to the store"
        reasons = (primary.subscriber.unhealthy_reason for primary in self._primaries.values())
        return next((reason for reason in reasons if reason is not None), None)

    @property
    def heard_at_s(self) -> float:
        """When the primary was last heard that has been silent for longest (monotonic)."""
        return min((one.subscriber.heard_at_s for one in self._primaries.values()), default=self._left_at_s)

    @property
    def channels(self) -> int:
        """How many this worker wants to hear."""
        return len(self._wanted)

    def subscribe(self, channel: bytes) -> asyncio.Future[None]:
        if (place := self._places.get(channel)) is not None and place in self._primaries:
            return self._primaries[place].subscriber.subscriptions.want(channel)
        confirmed = self._wanted.get(channel)
        if confirmed is None or confirmed.cancelled():
            confirmed = self._wanted[channel] = asyncio.get_running_loop().create_future()
            self._place(channel)
        return confirmed

    def unsubscribe(self, channel: bytes) -> None:
        confirmed = self._wanted.pop(channel, None)
        if confirmed is not None:
            confirmed.cancel()
        if (place := self._places.pop(channel, None)) is not None and place in self._primaries:
            self._primaries[place].subscriber.subscriptions.drop(channel)

    def server(self, channel: bytes) -> str:
        primary = self._primaries.get(self._places[channel]) if channel in self._places else None
        return primary.subscriber.server if primary is not None else ""

    async def start(self, limit_s: float, events: RedisEvents) -> None:
        self._events = events
        self._watch.start(events)
        self.on_slots_moved()
        await asyncio.wait(self._always, timeout=limit_s)

    async def close(self) -> None:
        self._events = None
        for primary in self._primaries.values():
            await primary.subscriber.close()
        for channel in list(self._wanted):
            self.unsubscribe(channel)

    def drop(self, reason: str) -> None:
        for primary in self._primaries.values():
            primary.subscriber.drop(reason)

    # -- from the commands

    def on_commands_up(self) -> None:
        """A node answers: connections that wait try again at once, and rooms are repaired (see `PrimaryPubSub`)."""
        for primary in self._primaries.values():
            primary.subscriber.retry_now()
        self.restored()

    def on_slots_moved(self) -> None:
        """Connections to new primaries, none to old ones, every channel in its place."""
        events = self._events
        if events is None:
            return
        slots = self._store.primaries()
        for address, slot in slots.items():
            if address not in self._primaries:
                primary = self._primaries[address] = self._primary_at(address, slot)
                primary.subscriber.start(primary, events.on_messages)
        for address in [one for one in self._primaries if one not in slots]:
            self._leave(address)
        moved = [
            channel for channel in self._wanted if self._places.get(channel) != self._store.owner(channel)
        ]
        for channel in moved:
            old = self._places.pop(channel, None)
            if old is not None and old in self._primaries:
                self._primaries[old].subscriber.subscriptions.drop(channel)
            self._place(channel)
        if moved:
            self._when_confirmed(moved)

    # -- from the connections

    def restored(self, channels: Sequence[bytes] | None = None) -> None:
        """Commands, or these channels, are back."""
        if self._events is not None:
            self._events.on_restored(channels)

    def lost(self, subscriber: Subscriber) -> None:
        """The connection to one primary is gone."""
        self._left_at_s = max(self._left_at_s, subscriber.heard_at_s)
        self._store.drop("a connection for subscriptions broke")
        if self._events is not None:
            self._events.on_channels_lost(subscriber.subscriptions.channels())

    # -- places

    def _place(self, channel: bytes) -> None:
        """Listens to a channel at the primary that holds its slot now."""
        address = self._store.owner(channel)
        primary = self._primaries.get(address) if address is not None else None
        if address is None or primary is None:
            return
        self._places[channel] = address
        there = primary.subscriber.subscriptions.want(channel)
        there.add_done_callback(lambda done: self._confirmed(channel, done))

    def _confirmed(self, channel: bytes, there: asyncio.Future[None]) -> None:
        waiting = self._wanted.get(channel)
        if waiting is not None and not waiting.done() and not there.cancelled():
            waiting.set_result(None)

    def _leave(self, address: Address) -> None:
        left = self._primaries.pop(address).subscriber
        self._left_at_s = max(self._left_at_s, left.heard_at_s)
        self._background.run(left.close(), "end of a connection")

    def _when_confirmed(self, channels: list[bytes]) -> None:
        """Tells that everything is back once these channels are confirmed in their new places."""
        waits = [
            self._primaries[place].subscriber.subscriptions.want(channel)
            for channel in channels
            if (place := self._places.get(channel)) in self._primaries and place is not None
        ]
        left = len(waits)

        def one_less(done: asyncio.Future[None]) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                self.restored(channels)

        for wait in waits:
            wait.add_done_callback(one_less)

    def _primary_at(self, address: Address, slot: int) -> _Primary:
        async def connect(make: Callable[[], SubscriberConnection]) -> SubscriberConnection:
            connection = await open_connection(
                self._store.endpoint(address), make, f"gateway-{self._worker}-pubsub"
            )
            # A slot that moved is reported by the commands, with the map; here only another server in the same place.
            place = f"channels {address[0]}:{address[1]}"
            self._watch.connected(place, connection.server, self._left_at_s or time.monotonic())
            return connection

        subscriber = Subscriber(
            f"pubsub {address[0]}:{address[1]}", connect, b"SSUBSCRIBE", self._probe_s, self._unresponsive_s
        )
        probe_channel = keys.slot_probe(tag_for(slot), self._worker)
        subscriber.subscriptions.want(probe_channel)
        return _Primary(self, self._store, subscriber, probe_channel)


class _Primary:
    """The connection to one primary, and what it tells (`SubscriberEvents`)."""

    def __init__(
        self, pubsub: ClusterPubSub, store: ClusterCommands, subscriber: Subscriber, probe_channel: bytes
    ) -> None:
        self._pubsub = pubsub
        self._store = store
        self._probe_channel = probe_channel
        self.subscriber = subscriber

    def on_subscriber_up(self) -> None:
        self._store.retry_now()

    def on_subscribed(self) -> None:
        self._pubsub.restored(self.subscriber.subscriptions.channels())

    def on_subscription_ended(self, channel: bytes) -> None:
        self._store.drop("a subscription moved")

    def on_subscriber_lost(self) -> None:
        self._pubsub.lost(self.subscriber)

    def on_unresponsive(self) -> None:
        self._store.drop("the channels are silent")

    def probe(self) -> None:
        """Behind a write to the same primary, which a demoted one turns away."""
        channel = self._probe_channel
        self._store.submit(channel, pack(b"SET", channel, b"?", b"EX", 60), nobody)
        self._store.submit(channel, pack(b"SPUBLISH", channel, b"?"), nobody)


def tag_for(slot: int) -> bytes:
    """The shortest number that, as a hash tag, lies in a slot."""
    return next(b"%d" % number for number in range(10_000_000) if key_slot(b"%d" % number) == slot)
