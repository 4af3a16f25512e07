"""Turns: connections that have more work than a moment holds get the processor one after the other.

Owns the one queue of a worker, and how much one turn may hold. Between two turns the event loop serves timers and
whatever else is ready, so that a member waits for at most one turn of a stranger's work, however many strangers there
are. Example: 20 connections have sent 1 MB each. Each gets a quarter of a millisecond at a time, the twenty in a
circle; a message for a member leaves in between.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextvars import Context
from enum import Enum, auto

AT_ONCE = 4
"""Messages of one read that are handled as they come. A client that speaks sends one, or two or three that were
written together; more than that waits for a turn."""

AT_ONCE_BYTES = 8_192
"""A read of more bytes waits for a turn, too: a longest chat message of 4,096 letters fits."""

TURN_MESSAGES = 32
"""Frames or packets of one turn: their answers leave in one write, and reading them takes some 40 µs."""

TURN_BYTES = 32_768
"""Bytes of one turn, again after inflating: one message may go beyond. Inflating as many takes 30 µs."""

TURN_S = 0.000_25
"""No message is begun later in a turn. A member's message passes about four turns of the loop from socket to socket,
so that one which competes with floods takes a millisecond longer."""

TURNS_IN_A_ROW = 32
"""Who needs more turns, one after the other, or has sent what no honest client sends, gets the rest slowly: 8 ms of
work, or 1,000 events that are refused, are as much as a client has a reason to bring at once."""

SLOW_S = 0.002_5
"""The slow have one turn in so much time, together: ten of a hundred parts of the processor."""

SLOW_SHARE = 0.1
"""No more than this share of the time goes to the slow, where one message takes longer than a turn."""

WORK_S = TURNS_IN_A_ROW * TURN_S
"""So much of the processor a connection may have in turns, at once."""

FORGIVEN_SHARE = 0.02
"""And so much of the time afterwards: one that sends 500 messages a second, ten in a write, needs half of that."""

Turn = Callable[[], None]


class Intake(Enum):
    """What becomes of bytes that arrive."""

    READY = auto()
    """They are handled."""
    QUEUED = auto()
    """They wait: more came than one moment holds, and others have their turns first."""
    BUSY = auto()
    """They wait until the handler of a message is done."""
    OVER = auto()
    """Nothing is taken any more, not even a close frame: the client sent what no honest one sends."""


class Work:
    """How much of the processor a connection had in turns lately; made for its first turn, as most never need one."""

    __slots__ = ("_at_s", "_took_s")

    def __init__(self) -> None:
        self._took_s = self._at_s = 0.0

    def add(self, took_s: float, now_s: float) -> None:
        """It had a turn; `took_s` is the time of the processor, `now_s` monotonic."""
        forgiven_s = (now_s - self._at_s) * FORGIVEN_SHARE
        self._took_s, self._at_s = max(0.0, self._took_s - forgiven_s) + took_s, now_s

    @property
    def is_much(self) -> bool:
        """Whether the next turn, if it is needed at once, is one in the slow lane."""
        return self._took_s > WORK_S


class Turns:
    """Who waits for a turn, in the order in which they came; and those who wait in the slow lane."""

    def __init__(self) -> None:
        self._waiting: deque[Turn] = deque()
        self._slow: deque[Turn] = deque()
        # Not that of whoever happened to wake the queue: a turn is no part of what that one does.
        self._context = Context()
        # When the next slow turn may be (monotonic).
        self._slow_from_s = 0.0

    def queue(self, turn: Turn, is_slow: bool = False) -> None:
        """Calls `turn` when it is its turn, never at once; it must not raise. One that has more to do queues again."""
        if is_slow:
            self._slow.append(turn)
            if len(self._slow) == 1:
                self._schedule_slow()
            return
        self._waiting.append(turn)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._next, context=self._context)

    async def come(self, is_slow: bool = False) -> None:
        """Returns when it is the caller's turn."""
        come: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.queue(lambda: None if come.done() else come.set_result(None), is_slow)
        await come

    def _next(self) -> None:
        turn = self._waiting.popleft()
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._next, context=self._context)
        turn()

    def _schedule_slow(self) -> None:
        wait_s = max(0.0, self._slow_from_s - time.monotonic())
        asyncio.get_running_loop().call_later(wait_s, self._next_slow, context=self._context)

    def _next_slow(self) -> None:
        begun_s = time.thread_time()  # so that what the machine does meanwhile is not held against them
        turn = self._slow.popleft()
        others = len(self._slow)
        turn()
        self._slow_from_s = time.monotonic() + max(SLOW_S, (time.thread_time() - begun_s) / SLOW_SHARE)
        if others:
            self._schedule_slow()
