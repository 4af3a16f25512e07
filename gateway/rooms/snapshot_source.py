"""Snapshots from Redis, a few at a time; and whether one is needed."""

from __future__ import annotations

import asyncio

import structlog

from gateway import keys
from gateway.errors import StoreError, StoreRefused
from gateway.interfaces import PubSub
from gateway.protocol import Position
from gateway.redis.server_watch import ServerWatch
from gateway.rooms.confirming import is_there
from gateway.rooms.repairs import OnConfirmed
from gateway.rooms.resync import Answer
from gateway.rooms.room import Room
from gateway.rooms.routes import Route
from gateway.state.history import Histories, Observed, Place

log = structlog.get_logger("gateway.hub")

READS_AT_ONCE = 64
"""Snapshots under way at one time: after a reconnect rooms are read one after the other instead of all at once. 64 of
100 messages are about 1 MB."""


class RedisSnapshots:
    """The snapshots and positions of one worker's rooms (`resync.SnapshotSource`, `repairs.PositionSource`)."""

    def __init__(self, histories: Histories, pubsub: PubSub, watch: ServerWatch, route: Route) -> None:
        self._histories = histories
        self._pubsub = pubsub
        self._watch = watch
        self._route = route
        self._turns = asyncio.Semaphore(READS_AT_ONCE)

    def turn(self) -> asyncio.Semaphore:
        """Entered when fewer than `READS_AT_ONCE` are under way."""
        return self._turns

    async def read(self, room: Room, observed: Observed, wanted: Position) -> Answer:
        """Reads a room, entries from `wanted` on. Raises StoreError, also for a history that is not understood."""
        before = self._servers(room)
        try:
            snapshot = await self._histories.snapshot(room.name, observed, wanted)
        except StoreError:
            raise
        except Exception as error:
            log.exception("snapshot_not_understood", room=room.name)
            raise StoreRefused(f"not understood: {error}") from error
        commands, channel, origin = before
        is_settled = before == self._servers(room) and self._watch.is_settled(commands, channel)
        return Answer(snapshot, is_settled, origin)

    def confirm(self, room: Room, on_confirmed: OnConfirmed) -> None:
        """Asks whether a room has missed anything (`repairs.PositionSource`)."""
        before = self._servers(room)

        def judge(place: Place | None) -> None:
            commands, channel, origin = before
            is_settled = before == self._servers(room) and self._watch.is_settled(commands, channel)
            on_confirmed(room, is_settled and origin == room.origin and is_there(room, place))

        self._histories.ask_place(room.name, judge)

    async def pause(self, pause_s: float, woken: asyncio.Event) -> None:
        """Returns after `pause_s`, or when `woken` is set."""
        try:
            async with asyncio.timeout(pause_s):
                await woken.wait()
        except TimeoutError:
            pass

    def _servers(self, room: Room) -> tuple[str, str, str]:
        """Where the room is numbered, or where the one channel of all rooms belongs; what brings its messages; and what
        they say they come from."""
        key = keys.history(room.name) if self._route.is_per_room else room.channel
        return (
            self._histories.server(key),
            self._pubsub.server(room.channel),
            self._histories.origin(room.name),
        )
