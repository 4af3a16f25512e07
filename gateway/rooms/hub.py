"""The hub: all rooms of one worker.

Owns the rooms and their subscriptions, and hands out what the channels bring. Promises that a room is subscribed before
its first snapshot is read, and that every room is repaired by position when Redis is back. Never looks into a room:
`room.py` delivers, `resync.py` repairs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

import structlog

from gateway import keys
from gateway.background import Background
from gateway.errors import StoreUnavailable
from gateway.interfaces import HubEvents, PubSub
from gateway.metrics import heard
from gateway.rooms.repairs import PositionSource, Repairs
from gateway.rooms.resync import Resync, SnapshotSource
from gateway.rooms.room import Room
from gateway.rooms.routes import Route
from gateway.rooms.traced_notes import Deliveries
from gateway.rooms.windows import Windows
from gateway.state.keeping import RoomKeeping
from gateway.timers import Timers

log = structlog.get_logger("gateway.hub")


class RoomSource(SnapshotSource, PositionSource, Protocol):
    """Where rooms are read."""


class Hub:
    """The rooms of this worker. Listens to Redis (`RedisEvents`)."""

    def __init__(
        self,
        pubsub: PubSub,
        route: Route,
        source: RoomSource,
        timers: Timers,
        idle_s: float,
        on_epoch_begun: Callable[[Room], None],
        deliveries: Deliveries | None = None,
        keeping: RoomKeeping | None = None,
    ) -> None:
        """`idle_s` is how long a room without members stays subscribed; `on_epoch_begun` tells other workers that a
        room had lost messages. `deliveries` sees what is handed to rooms, where messages are traced; `keeping` says
        which rooms gather what they write."""
        self._pubsub = pubsub
        self._route = route
        self._idle = timers.queue(idle_s, self._idle_due)
        self._repairs = Repairs(self._spawn, source)
        self._windows = Windows(timers, keeping)
        self._background = Background("hub")
        self._resync = Resync(source, self._spawn, on_epoch_begun)
        self._by_channel: dict[bytes, Room] = {}
        self._events: HubEvents | None = None
        self._deliveries = deliveries
        self.rooms: dict[str, Room] = {}

    @property
    def waiting(self) -> int:
        """How many rooms wait to be brought up, because Redis or its channels were away."""
        return len(self._repairs)

    def start(self, events: HubEvents) -> None:
        """Tells this listener from now on."""
        self._events = events

    def room(self, name: str) -> Room:
        """The room of that name, made and subscribed if this worker has none."""
        room = self.rooms.get(name)
        if room is None:
            room = self.rooms[name] = Room(
                name, self._route.channel(name), self._resync.start, open_window=self._windows.of(name)
            )
            self._by_channel[self._key(room)] = room
            if self._route.is_per_room:
                self._pubsub.subscribe(room.channel)
        return room

    def _key(self, room: Room) -> bytes:
        """What the room's messages are addressed to."""
        return room.channel if self._route.is_per_room else keys.live(room.name)

    async def subscribed(self, room: Room) -> None:
        """Returns once the room's channel is confirmed; raises StoreUnavailable if that cannot be."""
        confirmed = self._pubsub.subscribe(room.channel)
        if not confirmed.done():
            # Not awaited itself: a join that times out must not cancel it for the others.
            told = asyncio.Event()
            confirmed.add_done_callback(lambda done: told.set())
            await told.wait()
        if confirmed.cancelled():
            raise StoreUnavailable("the room's channel is not heard")

    def release(self, room: Room) -> None:
        """The room may have lost its last member."""
        if room.is_idle:
            room.idle_due_s = self._idle.add(room)

    def _idle_due(self, room: Room, due_s: float) -> None:
        if not room.is_idle or room.idle_due_s != due_s or self.rooms.get(room.name) is not room:
            return
        del self.rooms[room.name], self._by_channel[self._key(room)]
        if self._route.is_per_room:
            self._pubsub.unsubscribe(room.channel)
        if self._events is not None:
            self._events.on_room_closed(room.name)

    # -- from Redis

    def on_messages(self, messages: list[tuple[bytes, bytes]]) -> None:
        """Groups what one read brought by room and hands it on; waits for nobody."""
        heard.add(len(messages))
        by_channel = self._by_channel
        if len(messages) == 1 and (room := by_channel.get(messages[0][0])) is not None:
            self._hand_on(room, [messages[0][1]])
            return
        groups: dict[bytes, list[bytes]] = {}
        for channel, payload in messages:
            if channel not in by_channel:
                found = self._route.unwrap(channel, payload)
                if found is None or found[0] == channel:  # a channel that is no room's here
                    if self._events is not None:
                        self._events.on_foreign_message(channel, payload)
                    continue
                channel, payload = found
            if channel in groups:
                groups[channel].append(payload)
            else:
                groups[channel] = [payload]
        for channel, payloads in groups.items():
            if (room := by_channel.get(channel)) is not None:
                self._hand_on(room, payloads)

    def _hand_on(self, room: Room, payloads: list[bytes]) -> None:
        try:
            if self._deliveries is None:
                room.receive(payloads)
            else:
                self._deliveries.hand_on(room, payloads)
            if room.echo is not None:
                room.echo.heard(room)
        except Exception:
            log.exception("room_delivery_failed", room=room.name)
            room.request_again()

    def on_channels_lost(self, channels: list[bytes]) -> None:
        """The connection that brought these channels is gone."""
        lost = set(channels)
        for room in self.rooms.values():
            if room.channel in lost:
                room.channel_lost()

    def on_failover(self, last_heard_s: float) -> None:
        """Nothing is delivered any more that no snapshot of the new server has confirmed."""
        for room in self.rooms.values():
            room.server_left(last_heard_s)
        self._repairs.want(self.rooms.values())

    def on_restored(self, channels: Sequence[bytes] | None = None) -> None:
        """Brings rooms up by their positions: those of these channels, or all."""
        back = None if channels is None else set(channels)
        self._repairs.want([room for room in self.rooms.values() if back is None or room.channel in back])
        if self._events is not None:
            self._events.on_restored()

    # -- in the background

    def _spawn(self, reading: Coroutine[Any, Any, None]) -> None:
        self._background.run(reading, "repair of a room")

    async def close(self) -> None:
        """Stops reading."""
        await self._background.close()
