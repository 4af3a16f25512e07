"""The hub: all rooms of one worker.

Owns the feeds and their subscriptions, hands out what the bus brings, and reads the snapshots that feeds ask for.
Promises that a room is subscribed before its first snapshot is read, and that every room is repaired by position
when the bus is back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from gateway import keys
from gateway.errors import StoreError, StoreRefused, StoreUnavailable
from gateway.interfaces import PubSub
from gateway.metrics import heard, snapshots
from gateway.rooms.room import Room
from gateway.rooms.routes import Route
from gateway.state.history import Histories, Snapshot
from gateway.timers import Timers

log = structlog.get_logger("gateway.hub")

READS_AT_ONCE = 64
"""Snapshots under way at one time: a reconnect storm reads rooms one after the other instead of all at once."""

RETRY_S = 0.5
"""Wait before a snapshot that failed is read again for members who need it."""


SAME_AFTER_S = 6.0
"""Time after a move from which commands and channel count as leading to one server, whatever it calls itself (a proxy
may on each connection): had they not, the bus would have been found deaf."""


class Hub:
    """The rooms of this worker."""

    def __init__(
        self, pubsub: PubSub, route: Route, histories: Histories, timers: Timers, idle_s: float
    ) -> None:
        """`idle_s` is how long a room without members stays subscribed."""
        self._pubsub = pubsub
        self._route = route
        self._histories = histories
        self._idle = timers.queue(idle_s, self._idle_due)
        self._turns = asyncio.Semaphore(READS_AT_ONCE)
        self._reads: set[asyncio.Task[None]] = set()
        self._moved_at_s = 0.0
        self.rooms: dict[str, Room] = {}
        self._by_channel: dict[bytes, Room] = {}
        self.on_room_closed: Callable[[str], None] = lambda room: None
        self.on_foreign_message: Callable[[bytes, bytes], None] = lambda channel, payload: None
        self.on_back: Callable[[], None] = lambda: None
        self.on_begun: Callable[[Room], None] = lambda room: None
        pubsub.on_messages = self.heard
        pubsub.on_back = self.repair_all
        pubsub.on_lost = self._channels_lost
        pubsub.on_moved = self.moved

    def room(self, name: str) -> Room:
        """The room's room, made and subscribed if this worker has none."""
        room = self.rooms.get(name)
        if room is None:
            room = self.rooms[name] = Room(name, self._route.channel(name), self._read)
            self._by_channel[keys.live(name)] = room
            if self._route.is_per_room:
                self._pubsub.subscribe(room.channel)
        return room

    async def subscribed(self, room: Room) -> None:
        """Returns once the room's channel is confirmed; raises StoreUnavailable if that cannot be."""
        confirmed = self._pubsub.subscribe(room.channel)
        if (
            not confirmed.done()
        ):  # not awaited itself: a join that times out must not cancel it for the others
            told = asyncio.Event()
            confirmed.add_done_callback(lambda done: told.set())
            await told.wait()
        if confirmed.cancelled():
            raise StoreUnavailable("the room's channel is not heard")

    def release(self, room: Room) -> None:
        """The room may have lost its last member."""
        if room.is_idle:
            self._idle.add(room)
            room.idle_since_s = self._idle.entries[-1][0]

    def _idle_due(self, room: Room, due_s: float) -> None:
        if not room.is_idle or room.idle_since_s != due_s or self.rooms.get(room.name) is not room:
            return
        del self.rooms[room.name], self._by_channel[keys.live(room.name)]
        if self._route.is_per_room:
            self._pubsub.unsubscribe(room.channel)
        self.on_room_closed(room.name)

    # -- what the bus brings

    def heard(self, messages: list[tuple[bytes, bytes]]) -> None:
        """Groups what one read brought by room and hands it on; waits for nobody."""
        heard.add(len(messages))
        by_channel = self._by_channel
        if len(messages) == 1 and (room := by_channel.get(messages[0][0])) is not None:
            self._hand_on(room, [messages[0][1]])
            return
        groups: dict[bytes, list[bytes]] = {}
        for channel, payload in messages:
            if channel not in by_channel:
                found = self._route.unwrap(channel, payload) if not self._route.is_per_room else None
                if found is None:
                    self.on_foreign_message(channel, payload)
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
            room.receive(payloads)
        except Exception:
            log.exception("room_delivery_failed", room=room.name)
            room.repair()

    # -- snapshots

    def _channels_lost(self, channels: list[bytes]) -> None:
        lost = set(channels)
        for room in self.rooms.values():
            if room.channel in lost:
                room.channel_lost()

    def _is_one(self, command: str, channel: str) -> bool:
        return command == channel or time.monotonic() - self._moved_at_s > SAME_AFTER_S

    def _servers(self, room: Room) -> tuple[str, str]:
        """Where the room is numbered, or where the one channel of all rooms belongs; and what brings its messages."""
        key = keys.history(room.name) if self._route.is_per_room else room.channel
        return self._histories.server(key), self._pubsub.server(room.channel)

    def moved(self, at_s: float) -> None:
        """A connection leads to another server than the one before it, which was last heard at `at_s`."""
        self._moved_at_s = time.monotonic()
        for room in self.rooms.values():
            room.moved(at_s)
            room.repair()

    def repair_all(self) -> None:
        """Brings every room up by its position: the bus or the store was away."""
        for room in self.rooms.values():
            room.repair()
        self.on_back()

    def _read(self, room: Room) -> None:
        task = asyncio.create_task(self._read_snapshot(room))
        self._reads.add(task)
        task.add_done_callback(self._reads.discard)

    async def _read_snapshot(self, room: Room) -> None:
        async with self._turns:
            snapshots.add(1)
            answer: Snapshot | StoreError
            before = self._servers(room)
            try:
                answer = await self._histories.snapshot(room.name, *room.tell())
            except StoreError as error:
                answer = error
            except Exception as error:
                log.exception("snapshot_not_understood", room=room.name)
                answer = StoreRefused(f"not understood: {error}")
        try:
            is_settled = before == self._servers(room) and self._is_one(*before)
            room.snapshot_came(answer, is_settled)
        except Exception:
            log.exception("room_delivery_failed", room=room.name)
        else:
            if isinstance(answer, Snapshot) and answer.has_begun:
                self.on_begun(room)
            if isinstance(answer, Snapshot) and not room.is_unsure:
                return
        if room.members or room.claim[1]:
            asyncio.get_running_loop().call_later(RETRY_S, room.repair)

    async def close(self) -> None:
        """Stops reading."""
        for task in list(self._reads):
            task.cancel()
        await asyncio.gather(*self._reads, return_exceptions=True)
