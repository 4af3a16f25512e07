"""The hub: all rooms of one worker.

Owns the feeds and their subscriptions, hands out what the bus brings, and reads the snapshots that feeds ask for.
Promises that a feed is subscribed before its first snapshot is read, and that every feed is repaired by position
when the bus is back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from gateway import keys
from gateway.delivery.bus import Bus
from gateway.delivery.feed import Feed
from gateway.delivery.routes import Route
from gateway.delivery.wheel import Wheel
from gateway.metrics import heard, snapshots
from gateway.state.history import Histories, Snapshot
from gateway.state.link import StoreError, StoreRefused, StoreUnavailable

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

    def __init__(self, bus: Bus, route: Route, histories: Histories, wheel: Wheel, idle_s: float) -> None:
        """`idle_s` is how long a room without members stays subscribed."""
        self._bus = bus
        self._route = route
        self._histories = histories
        self._idle = wheel.lane(idle_s, self._idle_due)
        self._turns = asyncio.Semaphore(READS_AT_ONCE)
        self._reads: set[asyncio.Task[None]] = set()
        self._moved_at_s = 0.0
        self.feeds: dict[str, Feed] = {}
        self._by_channel: dict[bytes, Feed] = {}
        self.on_given_up: Callable[[str], None] = lambda room: None
        self.on_stray: Callable[[bytes, bytes], None] = lambda channel, payload: None
        self.on_back: Callable[[], None] = lambda: None
        self.on_begun: Callable[[Feed], None] = lambda feed: None
        bus.on_messages = self.heard
        bus.on_back = self.repair_all
        bus.on_lost = self._channels_lost
        bus.on_moved = self.moved

    def feed(self, room: str) -> Feed:
        """The room's feed, made and subscribed if this worker has none."""
        feed = self.feeds.get(room)
        if feed is None:
            feed = self.feeds[room] = Feed(room, self._route.channel(room), self._read)
            self._by_channel[keys.live(room)] = feed
            if self._route.is_per_room:
                self._bus.subscribe(feed.channel)
        return feed

    async def subscribed(self, feed: Feed) -> None:
        """Returns once the feed's channel is confirmed; raises StoreUnavailable if that cannot be."""
        confirmed = self._bus.subscribe(feed.channel)
        if (
            not confirmed.done()
        ):  # not awaited itself: a join that times out must not cancel it for the others
            told = asyncio.Event()
            confirmed.add_done_callback(lambda done: told.set())
            await told.wait()
        if confirmed.cancelled():
            raise StoreUnavailable("the room's channel is not heard")

    def release(self, feed: Feed) -> None:
        """The feed may have lost its last member."""
        if feed.is_idle:
            self._idle.add(feed)
            feed.idle_since_s = self._idle.entries[-1][0]

    def _idle_due(self, feed: Feed, due_s: float) -> None:
        if not feed.is_idle or feed.idle_since_s != due_s or self.feeds.get(feed.room) is not feed:
            return
        del self.feeds[feed.room], self._by_channel[keys.live(feed.room)]
        if self._route.is_per_room:
            self._bus.unsubscribe(feed.channel)
        self.on_given_up(feed.room)

    # -- what the bus brings

    def heard(self, messages: list[tuple[bytes, bytes]]) -> None:
        """Groups what one read brought by room and hands it on; waits for nobody."""
        heard.add(len(messages))
        by_channel = self._by_channel
        if len(messages) == 1 and (feed := by_channel.get(messages[0][0])) is not None:
            self._hand_on(feed, [messages[0][1]])
            return
        groups: dict[bytes, list[bytes]] = {}
        for channel, payload in messages:
            if channel not in by_channel:
                found = self._route.unwrap(channel, payload) if not self._route.is_per_room else None
                if found is None:
                    self.on_stray(channel, payload)
                    continue
                channel, payload = found
            if channel in groups:
                groups[channel].append(payload)
            else:
                groups[channel] = [payload]
        for channel, payloads in groups.items():
            if (feed := by_channel.get(channel)) is not None:
                self._hand_on(feed, payloads)

    def _hand_on(self, feed: Feed, payloads: list[bytes]) -> None:
        try:
            feed.receive(payloads)
        except Exception:
            log.exception("room_failed", room=feed.room)
            feed.repair()

    # -- snapshots

    def _channels_lost(self, channels: list[bytes]) -> None:
        lost = set(channels)
        for feed in self.feeds.values():
            if feed.channel in lost:
                feed.channel_lost()

    def _is_one(self, command: str, channel: str) -> bool:
        return command == channel or time.monotonic() - self._moved_at_s > SAME_AFTER_S

    def _servers(self, feed: Feed) -> tuple[str, str]:
        """Where the room is numbered, or where the one channel of all rooms belongs; and what brings its messages."""
        key = keys.history(feed.room) if self._route.is_per_room else feed.channel
        return self._histories.server(key), self._bus.server(feed.channel)

    def moved(self, at_s: float) -> None:
        """A connection leads to another server than the one before it, which was last heard at `at_s`."""
        self._moved_at_s = time.monotonic()
        for feed in self.feeds.values():
            feed.moved(at_s)
            feed.repair()

    def repair_all(self) -> None:
        """Brings every room up by its position: the bus or the store was away."""
        for feed in self.feeds.values():
            feed.repair()
        self.on_back()

    def _read(self, feed: Feed) -> None:
        task = asyncio.create_task(self._read_snapshot(feed))
        self._reads.add(task)
        task.add_done_callback(self._reads.discard)

    async def _read_snapshot(self, feed: Feed) -> None:
        async with self._turns:
            snapshots.add(1)
            answer: Snapshot | StoreError
            before = self._servers(feed)
            try:
                answer = await self._histories.snapshot(feed.room, *feed.tell())
            except StoreError as error:
                answer = error
            except Exception as error:
                log.exception("snapshot_not_understood", room=feed.room)
                answer = StoreRefused(f"not understood: {error}")
        try:
            is_settled = before == self._servers(feed) and self._is_one(*before)
            feed.snapshot_came(answer, is_settled)
        except Exception:
            log.exception("room_failed", room=feed.room)
        else:
            if isinstance(answer, Snapshot) and answer.has_begun:
                self.on_begun(feed)
            if isinstance(answer, Snapshot) and not feed.is_unsure:
                return
        if feed.members or feed.claim[1]:
            asyncio.get_running_loop().call_later(RETRY_S, feed.repair)

    async def close(self) -> None:
        """Stops reading."""
        for task in list(self._reads):
            task.cancel()
        await asyncio.gather(*self._reads, return_exceptions=True)
