"""How long a message of this worker's takes to the store and back to its room here, by the channel.

One message in sixteen is measured, and one at a time in a room. Its answer and its echo come by two connections, so
either may be first: what the channel brought before the answer is kept with its time, for so long as one answer may
take. Only this worker's clock is read.
"""

from __future__ import annotations

import time

from gateway.interfaces import Reply
from gateway.metrics import echo_seconds
from gateway.rooms.room import Room

ONE_IN = 16
"""Of so many messages one is measured: what that costs (2 µs) is then less than a hundredth of a publish."""

HEARD_MAX = 64
"""Positions that are kept while the answer is on its way; with more of them the measurement is given up."""


class Echo:
    """One message that is measured."""

    __slots__ = ("_begun_s", "_epoch", "_heard", "_wanted")

    def __init__(self, begun_s: float) -> None:
        self._begun_s = begun_s
        self._epoch, self._wanted = "", 0  # its position, once the store has said it
        self._heard: list[tuple[str, int, float]] = []  # epoch, number and time of what came meanwhile

    def heard(self, room: Room) -> None:
        """The channel has brought the room to where it is now."""
        now_s = time.monotonic()
        if self._wanted:
            if room.epoch == self._epoch and room.seq >= self._wanted:
                echo_seconds.observe(now_s - self._begun_s)
                room.echo = None
            elif room.epoch != self._epoch:
                room.echo = None
        elif len(self._heard) < HEARD_MAX:
            self._heard.append((room.epoch, room.seq, now_s))
        else:
            room.echo = None

    def answered(self, room: Room, reply: Reply) -> None:
        """The store has answered; of what it did not store now there is no echo."""
        if room.echo is not self:
            return
        position = reply.partition(b" ")[0].decode() if isinstance(reply, bytes) else ""
        epoch, _, number = position.partition(":")
        if not number.isdigit() or epoch != room.epoch:
            room.echo = None
            return
        self._epoch, self._wanted = epoch, int(number)
        for heard_epoch, seq, at_s in self._heard:
            if heard_epoch == epoch and seq >= self._wanted:
                echo_seconds.observe(at_s - self._begun_s)
                room.echo = None
                return


def begin_echo(room: Room, begun_s: float) -> Echo | None:
    """Measures a message that is handed to the store now, if its room listens and none is measured."""
    if room.echo is not None or not room.is_following or not room.members:
        return None
    echo = room.echo = Echo(begun_s)
    return echo
