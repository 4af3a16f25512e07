"""What a connection sends that no honest client sends, in points; with too many of them it is ended.

Owns what each such thing counts, and how much is too much. It is the floor below limits by rate: it asks only what no
client has a reason to send so often. Values and a bucket; the caller passes the time.

Examples. A stock client that was away sends 1,000 buffered messages at once, before it has joined again: 1,000 points,
and it goes on. One that sends 100,000 empty PINGs is ended at the 501st.
"""

from __future__ import annotations

POINTS_AT_ONCE = 2_000
"""Twice what the largest honest burst costs, 1,000 buffered events that are all refused."""

POINTS_PER_S = 200
"""What is forgiven in a second: an app with a mistake that has 10 events a second refused, or a library that pings 10
times a second, goes on for ever."""

SLOW_FROM_POINTS = 50
"""With more points a connection is served slowly (`turns.py`): more than 50 events refused at once are a mistake."""

REFUSED = 1
"""An event that was refused, and through its sender's fault."""

REFUSED_REQUEST = 20
"""An HTTP request that was refused: 100 at once, 10 a second. What a page looks for and does not find is less."""

ODD = 4
"""A WebSocket PING or PONG, an Engine.IO pong that nobody asked for, an acknowledgement of nothing, a namespace that
is not there, a tiny fragment: 500 at once, 50 a second. Browsers send none of them, libraries one in some seconds."""


CUT_OFF = "it sends what no honest client sends"
"""Why a connection is ended, in the log and in the close frame."""


class Conduct:
    """The points of one connection; made for the first one, as most never get any."""

    __slots__ = ("_at_s", "_points", "is_over")

    def __init__(self, now_s: float) -> None:
        self._at_s = now_s
        self._points = 0.0
        self.is_over = False  # it had too many once

    def is_bad(self, now_s: float) -> bool:
        """Whether it sent enough of it to be served slowly."""
        return self._points - (now_s - self._at_s) * POINTS_PER_S > SLOW_FROM_POINTS

    def wait(self, now_s: float) -> None:
        """It waits for a turn from now on: nothing is forgiven until `waited`. What is in the slow lane comes at less
        than 200 points a second, and would never end it."""
        self.charge(0, now_s)

    def waited(self, now_s: float) -> None:
        """Its turn came."""
        self._at_s = now_s

    def charge(self, points: int, now_s: float) -> bool:
        """Adds points; whether the connection is to be ended."""
        forgiven = (now_s - self._at_s) * POINTS_PER_S
        self._points = max(0.0, self._points - forgiven) + points
        self._at_s = now_s
        self.is_over |= self._points > POINTS_AT_ONCE
        return self.is_over
