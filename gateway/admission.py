"""Connections that come, join and go, a few at a time.

Owns how much of that one stretch of time may hold, so that what connected members send and get never waits for a
storm: what is too much waits for the next stretch, and in between the event loop serves the sockets and the machine
its other processes. Promises that what belongs to a session is done in the order in which it came and before new
sessions, and that a new session is let in or refused within about `WAIT_MAX_S`.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

WORK_AT_ONCE = 8
"""Handshakes, CONNECTs, joins and ends in one stretch: about 0.6 ms, as each costs 0.05 to 0.15 ms of CPU."""

STRETCH_S = 0.001
"""Time from the first of them to the next stretch. Without a pause a worker in a storm never sleeps, and gets the
processor late when something comes for its members."""

RATE_STEP_S = 0.01
"""Newcomers held up by the rate are let in this often, several together: one by one each would cost a fifth more."""

WAIT_MAX_S = 1.0
"""How long a new session waits before it is refused."""

Work = Callable[[], None]


class Newcomer(NamedTuple):
    """Somebody who waits to be let in, and since when (monotonic)."""

    is_let_in: asyncio.Future[bool]
    since_s: float


class AdmissionControl:
    """The pace of one worker; needs a running loop when it is first used."""

    def __init__(
        self, take: Callable[[float], float] = lambda now_s: 0.0, newcomers_max: float = float("inf")
    ) -> None:
        """`take` spends what one new session costs and returns 0, or returns the seconds until it can, given the
        time; more than `newcomers_max` do not wait."""
        self._take = take
        self._newcomers_max = newcomers_max
        self._work: deque[Work] = deque()
        self._newcomers: deque[Newcomer] = deque()
        self._spent = 0
        self._reopens_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def do(self, work: Work) -> None:
        """Does something for a session, now or later; `work` must not raise."""
        if self._spent < WORK_AT_ONCE and not self._work:
            self._spend()
            work()
        else:
            self._work.append(work)

    def acquire(self) -> asyncio.Future[None] | None:
        """None if something that a session asks for may be done now, else what ends when it may."""
        if self._spent < WORK_AT_ONCE and not self._work:
            self._spend()
            return None
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._work.append(lambda: None if told.done() else told.set_result(None))
        return told

    def admit(self) -> asyncio.Future[bool] | bool:
        """Whether a new session may begin now, or what tells it within about `WAIT_MAX_S`."""
        now_s = time.monotonic()
        if self._spent < WORK_AT_ONCE and not self._newcomers and not self._take(now_s):
            self._spend()
            return True
        if len(self._newcomers) >= self._newcomers_max:
            return False
        newcomer = Newcomer(asyncio.get_running_loop().create_future(), now_s)
        self._newcomers.append(newcomer)
        if self._timer is None:
            self._wake_in(STRETCH_S)
        return newcomer.is_let_in

    def flush(self) -> None:
        """Does at once all that sessions wait for, and refuses the newcomers."""
        while self._work:
            self._work.popleft()()
        while self._newcomers:
            self._tell(self._newcomers.popleft(), False)

    def _spend(self) -> None:
        self._spent += 1
        if self._timer is None:
            self._wake_in(STRETCH_S)

    def _wake_in(self, wait_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._next_stretch)

    def _next_stretch(self) -> None:
        """What waits goes on, as far as there is room; one place is kept for newcomers."""
        self._spent, self._timer = 0, None
        room = WORK_AT_ONCE - bool(self._newcomers)
        while self._work and self._spent < room:
            self._spend()
            self._work.popleft()()
        now_s = time.monotonic()
        while self._newcomers and self._spent < WORK_AT_ONCE and now_s >= self._reopens_s:
            self._admit_next(now_s)
        if self._newcomers and self._timer is None:
            self._wake_in(self._reopens_s - now_s)

    def _admit_next(self, now_s: float) -> None:
        """Lets in or refuses whoever has waited longest, unless the rate is used up."""
        newcomer = self._newcomers[0]
        is_late = now_s - newcomer.since_s >= WAIT_MAX_S
        if not is_late and not newcomer.is_let_in.done() and (wait_s := self._take(now_s)):
            self._reopens_s = now_s + max(wait_s, RATE_STEP_S)
            return
        self._spend()
        self._tell(self._newcomers.popleft(), not is_late)

    @staticmethod
    def _tell(newcomer: Newcomer, is_let_in: bool) -> None:
        if not newcomer.is_let_in.done():  # it may have gone away meanwhile
            newcomer.is_let_in.set_result(is_let_in)
