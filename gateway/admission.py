"""Connections that come, join and go, a few at a time.

Owns how much of that one slice of time may hold. In a storm of connections, what is too much waits for the next slice;
in between the event loop serves the sockets, and the machine its other processes, so that connected members wait for
nobody's handshake. Promises:

- the work of sessions that exist is done in the order in which it came, and before new sessions;
- a new session is admitted or refused within about `WAIT_MAX_S`.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

WORK_AT_ONCE = 8
"""Handshakes, CONNECTs, joins and ends in one slice: about 0.6 ms, as each costs 0.05 to 0.15 ms of CPU."""

SLICE_S = 0.001
"""Time from the first of them to the next slice. Without a pause a worker in a storm never sleeps, and gets the
processor late when something comes for its members."""

RATE_STEP_S = 0.01
"""Newcomers held up by the rate are admitted this often, several together: one by one each would cost a fifth more."""

WAIT_MAX_S = 1.0
"""How long a new session waits before it is refused."""

Work = Callable[[], None]
SpendOne = Callable[[float], float]
"""Spends what one new session costs and returns 0, or returns the seconds until it can, given the monotonic time."""


class Newcomer(NamedTuple):
    """A new session that waits to be admitted, and since when (monotonic)."""

    is_admitted: asyncio.Future[bool]
    since_s: float


def _without_limit(now_s: float) -> float:
    return 0.0


class AdmissionControl:
    """The admission to one worker; needs a running loop when it is first used."""

    def __init__(self, spend_one: SpendOne = _without_limit, newcomers_max: float = float("inf")) -> None:
        """`spend_one` limits the rate of new sessions; more than `newcomers_max` of them do not wait."""
        self._spend_one = spend_one
        self._newcomers_max = newcomers_max
        # What sessions and newcomers wait for, oldest first.
        self._work: deque[Work] = deque()
        self._newcomers: deque[Newcomer] = deque()
        # How much of this slice is used.
        self._spent = 0
        # When the rate allows the next newcomer (monotonic).
        self._reopens_s = 0.0
        # Begins the next slice; None while nothing is spent and nothing waits.
        self._timer: asyncio.TimerHandle | None = None

    def submit(self, work: Work) -> None:
        """Does something for a session, now or in a later slice; `work` must not raise."""
        if self._has_room():
            self._spend()
            work()
        else:
            self._work.append(work)

    def acquire(self) -> asyncio.Future[None] | None:
        """None if something that a session asks for may be done now, else what ends when it may."""
        if self._has_room():
            self._spend()
            return None
        acquired: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._work.append(lambda: None if acquired.done() else acquired.set_result(None))
        return acquired

    def admit(self) -> asyncio.Future[bool] | bool:
        """Whether a new session may begin now, or what tells it within about `WAIT_MAX_S`."""
        now_s = time.monotonic()
        if self._spent < WORK_AT_ONCE and not self._newcomers and not self._spend_one(now_s):
            self._spend()
            return True
        if len(self._newcomers) >= self._newcomers_max:
            return False
        newcomer = Newcomer(asyncio.get_running_loop().create_future(), now_s)
        self._newcomers.append(newcomer)
        if self._timer is None:
            self._wake_in(SLICE_S)
        return newcomer.is_admitted

    def flush(self) -> None:
        """Does at once all that sessions wait for, and refuses the newcomers."""
        while self._work:
            self._work.popleft()()
        while self._newcomers:
            self._answer(self._newcomers.popleft(), False)

    def _has_room(self) -> bool:
        return self._spent < WORK_AT_ONCE and not self._work

    def _spend(self) -> None:
        self._spent += 1
        if self._timer is None:
            self._wake_in(SLICE_S)

    def _wake_in(self, wait_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._next_slice)

    def _next_slice(self) -> None:
        """What waits goes on, as far as there is room; one place is kept for newcomers."""
        self._spent, self._timer = 0, None
        room = WORK_AT_ONCE - bool(self._newcomers)
        while self._work and self._spent < room:
            self._spend()
            self._work.popleft()()
        now_s = time.monotonic()
        while self._newcomers and self._spent < WORK_AT_ONCE and now_s >= self._reopens_s:
            self._answer_next(now_s)
        if self._newcomers and self._timer is None:
            self._wake_in(self._reopens_s - now_s)

    def _answer_next(self, now_s: float) -> None:
        """Admits or refuses whoever has waited longest, unless the rate is used up."""
        newcomer = self._newcomers[0]
        is_late = now_s - newcomer.since_s >= WAIT_MAX_S
        if not is_late and not newcomer.is_admitted.done() and (wait_s := self._spend_one(now_s)):
            self._reopens_s = now_s + max(wait_s, RATE_STEP_S)
            return
        self._spend()
        self._answer(self._newcomers.popleft(), not is_late)

    @staticmethod
    def _answer(newcomer: Newcomer, is_admitted: bool) -> None:
        if not newcomer.is_admitted.done():  # it may have gone away meanwhile
            newcomer.is_admitted.set_result(is_admitted)
