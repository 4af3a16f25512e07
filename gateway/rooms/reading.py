"""What a room remembers while its history is read, and what makes it read again. Values only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from gateway.errors import StoreError
from gateway.protocol import Position
from gateway.rooms.payloads import Arrived
from gateway.rooms.position_check import Observation
from gateway.rooms.replays import RECEIVE, Replays
from gateway.state.history import NO_POSITION, Snapshot

OnSnapshot = Callable[[Snapshot | StoreError], None]
"""Takes a snapshot, or the error that came in its place."""


class Waiting(NamedTuple):
    """Who waits for a snapshot, and up to where it has all; None if it wants the whole history."""

    on_snapshot: OnSnapshot
    position: Position | None


Heard = tuple[Arrived, bytes]
"""Where a message is, and its data."""


class Reading:
    """One room's reading.

    is_open         whether a snapshot is wanted or under way
    is_unsure       whether, after a failover, no snapshot has confirmed the position yet: the channel may bring another
                    message under a number that was delivered before
    is_refused      whether the store refused the last snapshot: nothing is delivered without asking again
    must_repeat     whether a snapshot that was asked for before now is not enough
    begun_at        the last message that live members had when this reading began
    before_loss     the position when the channel was lost: what it brings when it is back was published later
    failovers       how many servers were left; an answer counts only if none was since the question
    buffer          what the channel brought since the reading began and nobody has got, at most for the time-out of one
                    command
    delivered       what live members got since then
    waiting         who waits for the snapshot
    made            what was made of the snapshot that is being dealt with, once for all who get it
    is_running      whether `resync.py` works on the room
    woken           set when a snapshot is wanted while it pauses
    """

    __slots__ = (
        "before_loss",
        "begun_at",
        "buffer",
        "delivered",
        "failovers",
        "is_open",
        "is_refused",
        "is_running",
        "is_unsure",
        "made",
        "must_repeat",
        "waiting",
        "woken",
    )

    def __init__(self) -> None:
        self.is_open = self.is_unsure = self.is_refused = self.must_repeat = self.is_running = False
        self.begun_at = Observation(NO_POSITION)
        self.before_loss = NO_POSITION
        self.failovers = 0
        self.buffer: list[Heard] = []
        self.delivered: list[tuple[Position, bytes]] = []
        self.waiting: list[Waiting] = []
        self.made = Replays()
        self.woken: asyncio.Event | None = None

    def begin(self, position: Position, data: bytes | None) -> None:
        """A snapshot that is asked for from now on is wanted; live members have got this message last."""
        self.is_open, self.must_repeat = True, False
        self.begun_at = Observation(position, data)
        self.buffer, self.delivered = [], []
        if self.woken is not None:
            self.woken.set()

    def keep(self, arrived: Arrived, data: bytes) -> None:
        """A message came that nobody gets now."""
        if self.is_open:
            self.buffer.append((arrived, data))

    def follow(self, position: Position, data: bytes) -> None:
        """Live members got a message."""
        if self.is_open:
            self.delivered.append((position, data))

    def packets_after(self, position: Position) -> list[tuple[int, bytes]]:
        """The `receive` packets of what live members got since the reading began, after a position that is the
        snapshot's or later, with their seqs."""
        return [
            (at.seq, RECEIVE + data + b"]")
            for at, data in self.delivered
            if at.epoch == position.epoch and at.seq > position.seq
        ]

    def end(self) -> None:
        """The snapshot has been dealt with."""
        self.is_open = False
        self.buffer, self.delivered, self.made = [], [], Replays()

    def was_delivered_before_loss(self, epoch: str, seq: int) -> bool:
        """Whether a message that the channel brings now has a number that was given before the channel was lost: Redis
        has lost data and numbers again."""
        return epoch == self.before_loss.epoch and seq <= self.before_loss.seq
