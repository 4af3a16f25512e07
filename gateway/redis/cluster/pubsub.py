"""The bus on a Redis Cluster: ears on every primary.

Owns which primary each channel is listened to at: a room's sharded channel lives in the slot of the room's keys, so
its subscription follows the slot. Each primary's connection is probed through that primary.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from redis.crc import key_slot

from gateway import keys
from gateway.interfaces import Listener
from gateway.redis.address import open_connection
from gateway.redis.cluster.commands import ClusterCommands
from gateway.redis.cluster.slot_map import Address
from gateway.redis.connection import pack
from gateway.redis.pubsub import nobody
from gateway.redis.subscriber import Subscriber
from gateway.redis.subscriber_connection import SubscriberConnection


class ClusterPubSub:
    """Ears on all primaries of a Cluster."""

    def __init__(self, store: ClusterCommands, worker: str, probe_s: float, deaf_s: float) -> None:
        self._store = store
        self._worker = worker
        self._probe_s, self._deaf_s = probe_s, deaf_s
        self._subscribers: dict[Address, Subscriber] = {}
        self._wanted: dict[bytes, asyncio.Future[None]] = {}
        self._places: dict[bytes, Address] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self.on_messages: Listener = lambda messages: None
        self.on_back: Callable[[], None] = lambda: None
        self.on_lost: Callable[[list[bytes]], None] = lambda channels: None
        self.on_moved: Callable[[float], None] = lambda at_s: None
        self._left_at_s = 0.0
        store.on_map.append(self._follow_map)
        store.on_up.append(self._retry_now)
        self._always = [self.subscribe(keys.SOCKETIO_CHANNEL)]

    @property
    def unhealthy_reason(self) -> str | None:
        if not self._subscribers:
            return "not subscribed to the store"
        return next(
            (
                subscriber.unhealthy_reason
                for subscriber in self._subscribers.values()
                if subscriber.unhealthy_reason is not None
            ),
            None,
        )

    def subscribe(self, channel: bytes) -> asyncio.Future[None]:
        if (place := self._places.get(channel)) is not None and place in self._subscribers:
            return self._subscribers[place].subscriptions.want(channel)
        confirmed = self._wanted.get(channel)
        if confirmed is None or confirmed.cancelled():
            confirmed = self._wanted[channel] = asyncio.get_running_loop().create_future()
            self._place(channel)
        return confirmed

    def server(self, channel: bytes) -> str:
        subscriber = self._subscribers.get(self._places[channel]) if channel in self._places else None
        return subscriber.server if subscriber is not None else ""

    def unsubscribe(self, channel: bytes) -> None:
        confirmed = self._wanted.pop(channel, None)
        if confirmed is not None:
            confirmed.cancel()
        if (place := self._places.pop(channel, None)) is not None and place in self._subscribers:
            self._subscribers[place].subscriptions.drop(channel)

    async def start(self, limit_s: float) -> None:
        self._follow_map()
        await asyncio.wait(self._always, timeout=limit_s)

    async def close(self) -> None:
        for subscriber in self._subscribers.values():
            await subscriber.close()
        for channel in list(self._wanted):
            self.unsubscribe(channel)

    def drop(self, reason: str) -> None:
        for subscriber in self._subscribers.values():
            subscriber.drop(reason)

    def _heard(self, messages: list[tuple[bytes, bytes]]) -> None:
        self.on_messages(messages)

    def _lost(self, subscriber: Subscriber) -> None:
        self._left_at_s = max(self._left_at_s, subscriber.heard_at_s)
        self._store.drop("a listening connection broke")
        self.on_lost(subscriber.subscriptions.channels())

    def _complete(self) -> None:
        self.on_back()

    def _retry_now(self) -> None:
        for subscriber in self._subscribers.values():
            subscriber.retry_now()

    # -- places

    def _place(self, channel: bytes) -> None:
        """Listens to a channel at the primary that holds its slot now."""
        address = self._store.owner(channel)
        subscriber = self._subscribers.get(address) if address is not None else None
        if address is None or subscriber is None:
            return
        self._places[channel] = address
        there = subscriber.subscriptions.want(channel)
        there.add_done_callback(lambda done: self._confirmed(channel, done))

    def _confirmed(self, channel: bytes, there: asyncio.Future[None]) -> None:
        waiting = self._wanted.get(channel)
        if waiting is not None and not waiting.done() and not there.cancelled():
            waiting.set_result(None)

    def _follow_map(self) -> None:
        """The map of slots has changed: ears on new primaries, none on old ones, every channel in its place."""
        primaries = self._store.primaries()
        for address, slot in primaries.items():
            if address not in self._subscribers:
                self._subscribers[address] = self._listen_at(address, slot)
        for address in [one for one in self._subscribers if one not in primaries]:
            left = self._subscribers.pop(address)
            self._left_at_s = max(self._left_at_s, left.heard_at_s)
            task = asyncio.create_task(left.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        moved = [
            channel for channel in self._wanted if self._places.get(channel) != self._store.owner(channel)
        ]
        for channel in moved:
            old = self._places.pop(channel, None)
            if old is not None and old in self._subscribers:
                self._subscribers[old].subscriptions.drop(channel)
            self._place(channel)
        if moved:
            self._when_confirmed(moved)

    def _when_confirmed(self, channels: list[bytes]) -> None:
        """Tells that everything is back once these channels are confirmed in their new places."""
        waits = [
            self._subscribers[place].subscriptions.want(channel)
            for channel in channels
            if (place := self._places.get(channel)) in self._subscribers and place is not None
        ]
        if not waits:
            return
        left = len(waits)

        def one_less(done: asyncio.Future[None]) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                self.on_back()

        for wait in waits:
            wait.add_done_callback(one_less)

    def _listen_at(self, address: Address, slot: int) -> Subscriber:
        tag = tag_for(slot)
        channel = b"{%b}:gateway:probe:%b" % (tag, self._worker.encode())

        async def connect(make: Callable[[], SubscriberConnection]) -> SubscriberConnection:
            connection = await open_connection(
                self._store.endpoint(address), make, f"gateway-{self._worker}-bus"
            )
            self.on_moved(self._left_at_s or time.monotonic())
            return connection

        def probe() -> None:
            """Behind a write to the same primary, which a demoted one turns away."""
            self._store.submit(channel, pack(b"SET", channel, b"?", b"EX", 60), nobody)
            self._store.submit(channel, pack(b"SPUBLISH", channel, b"?"), nobody)

        subscriber = Subscriber(
            f"pubsub {address[0]}:{address[1]}", connect, b"SSUBSCRIBE", self._probe_s, self._deaf_s
        )
        subscriber.on_messages = self._heard
        subscriber.on_complete = self._complete
        subscriber.on_ended = lambda ended: self._store.drop("a subscription moved")
        subscriber.on_lost = lambda: self._lost(subscriber)
        subscriber.on_deaf = lambda: self._store.drop("the bus is deaf")
        subscriber.probe = probe
        subscriber.on_up = self._store.retry_now
        subscriber.subscriptions.want(channel)
        subscriber.start()
        return subscriber


def tag_for(slot: int) -> bytes:
    """The shortest number that, as a hash tag, lies in a slot."""
    return next(b"%d" % number for number in range(10_000_000) if key_slot(b"%d" % number) == slot)
