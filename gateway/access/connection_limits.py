"""How much one connection may do, and when it has been refused too often.

Owns which limit an event spends, what a refused client is told, and the two ends that are for good: too many refusals,
and messages without pause. One place decides: `ConnectionLimits`. Promises:

- `retry_after_ms` is the time at which the event is taken. Each is told another time: of 30 messages that are refused
  at once, at 10 a second, the last is told 3 s, and each that comes when it was told is taken;
- a client that does as it was told is never ended.

How the second is kept, by three examples at 10 messages a second:

- A client sends one message after the other, and waits whenever it is refused. It is refused as often as it is taken.
- A stock client was away and sends the 1,000 messages that it kept, all before it can hear of the first refusal. Then
  it sends each again at its time, for 98 s, and new ones in between. It is refused 1,000 times, and later as often as
  it says something new.
- A loop sends a message again as soon as it is refused, 45 times a second. It is taken 10 times and refused 35 times.

So a `rate_limited` is a refusal that counts only while there are more of them than the client must have had when it
heard of the first (`HEARD_S`), less those that were taken since. `not_joined` counts from `HEARD_S` on where the client
has not joined anything yet. Every other refusal counts at once.

Functions of values: the caller passes the time.
"""

from __future__ import annotations

import asyncio
from math import ceil
from typing import get_args

from gateway.access.rates import NO_LIMIT, Rate
from gateway.access.users import UserUsage
from gateway.client_events import Event, History, Members, Send
from gateway.limit_options import LimitOptions
from gateway.metrics import rate_limited
from gateway.moderation_events import ModerationEvent
from gateway.protocol import Refusal
from gateway.talk_events import Read, Signal, Unread

NOT_ITS_FAULT = frozenset(("unavailable", "shutting_down", "internal"))
"""Refusals for which a client cannot do anything: they cost it nothing."""

HEARD_S = 10.0
"""After so long a client has heard that it is too fast, however slow its network is and however busy this worker."""
REFUSALS_S = 5.0
"""The time in which so many refusals are too many."""
OVER_FOR_S = 10
"""For so many seconds in a row a connection must send too much to be ended."""
MARGIN = 10.0
"""So many more may be refused than were when the client heard of it: those of a page with some loops of its own."""
LINE_MAX_S = 120.0
"""The longest that a refused client is told to wait: 1,000 messages, kept while it was away, need 98 s."""

READS: dict[type, str] = {
    Members: "members", History: "history", Read: "read", Unread: "unread",
    **dict.fromkeys(get_args(ModerationEvent), "members"),
}  # fmt: skip
"""Events that read, mark what was read, or moderate, and the limit of each. Moderators are few and ask who is there now
and then: a number of its own would be 8 bytes in every connection."""


class Line:
    """Those of one connection that one limit has refused, and that may come again."""

    __slots__ = ("at_s", "debt", "expected", "first_s", "full_s", "last_s")

    def __init__(self) -> None:
        # The time that the last one was told.
        self.at_s = 0.0
        # How many were refused, less those taken since; and how many that were when the client heard of it.
        self.debt = self.expected = 0.0
        # The first refusal and the last one.
        self.first_s = self.last_s = 0.0
        # When the bucket was to be full at the last one: it is later for each that was taken since.
        self.full_s = 0.0

    def refuse(self, rate: Rate, full_s: float, now_s: float) -> float:
        """One more is refused: how long it has to wait."""
        self.debt = max(0.0, self.debt - (full_s - self.full_s) / rate.every_s) + 1
        self.full_s = full_s
        self.at_s = max(now_s + rate.wait_s(full_s, now_s), self.at_s + rate.every_s)
        self.at_s = min(self.at_s, now_s + LINE_MAX_S)
        return self.at_s - now_s

    def has_heard(self, now_s: float) -> bool:
        """Whether the client must have heard of the first of these refusals. It begins anew after a time without."""
        if now_s - self.last_s > HEARD_S:
            self.first_s, self.expected = now_s, 0.0
        self.last_s = now_s
        if now_s - self.first_s >= HEARD_S:
            return True
        self.expected = max(self.expected, self.debt)
        return False


class Trouble:
    """What is known of a connection that was refused; most connections have none."""

    __slots__ = ("last", "lines", "refused", "second", "seconds_over")

    def __init__(self) -> None:
        self.lines: dict[str, Line] = {}  # by limit
        self.last = ""  # the limit that refused last
        # Messages refused in this second, and how many seconds in a row there were too many.
        self.second = self.refused = self.seconds_over = 0

    def line(self, limit: str) -> Line:
        """The line of one limit."""
        if limit not in self.lines:
            self.lines[limit] = Line()
        return self.lines[limit]


class Usage:
    """What one connection has used up: for each limit, when its bucket is full again (`rates.py`)."""

    __slots__ = (
        "events",
        "history",
        "joins",
        "members",
        "read",
        "refusals",
        "sends",
        "signals",
        "trouble",
        "unread",
        "user",
    )

    def __init__(self, user: UserUsage | None = None) -> None:
        self.events = self.sends = self.joins = self.refusals = 0.0
        self.history = self.members = self.read = self.unread = self.signals = 0.0
        self.trouble: Trouble | None = None
        self.user = user  # what is counted for all connections of this user; None for a guest


class ConnectionLimits:
    """The limits of every connection of a worker."""

    def __init__(self, options: LimitOptions, rooms_max: int) -> None:
        """`rooms_max` is how many rooms a connection may be in: who comes back joins all of them at once."""
        reads = Rate.of(options.reads_per_s, options.reads_burst)
        self._sends = Rate.of(options.sends_per_s, options.sends_burst)
        self._user_sends = Rate.of(options.user_sends_per_s, options.user_sends_burst)
        self._events = Rate.of(options.events_per_s, max(options.events_burst, 2 * rooms_max))
        # The same once more, for the hot path.
        self._sends_every_s, self._sends_slack_s = self._sends
        self._events_every_s, self._events_slack_s = self._events
        self._joins = Rate.of(options.joins_per_s, rooms_max)
        self._refusals = Rate.of(options.refusals_max / REFUSALS_S, options.refusals_max)
        self._of = dict.fromkeys(READS.values(), reads)
        self._signals = Rate.of(options.signals_per_s, options.signals_burst)
        self._joins_waiting_max = options.joins_waiting_max
        self._joins_waiting = 0
        # More refused messages in a second are too many.
        self._over = (
            options.sends_cut_off_per_s - options.sends_per_s if options.sends_cut_off_per_s else float("inf")
        )

    # -- events

    def spend(self, usage: Usage, event: Event, now_s: float) -> None:
        """An event is to be handled. Raises Refusal. For a message, a hot path: numbers only, and no call."""
        if type(event) is not Send:
            self._spend_other(usage, type(event), now_s)
            return
        sends_full_s, events_full_s = usage.sends, usage.events
        if sends_full_s <= now_s:
            sends_full_s = now_s
            if usage.trouble is not None:
                usage.trouble.lines.pop("sends", None)
        elif sends_full_s - now_s > self._sends_slack_s:
            self._count_over(usage, now_s)
            raise self._refusal(usage, "sends", self._sends, sends_full_s, now_s)
        if events_full_s <= now_s:
            events_full_s = now_s
        elif events_full_s - now_s > self._events_slack_s:
            raise self._refusal(usage, "events", self._events, events_full_s, now_s)
        if usage.user is not None:
            self._spend_user(usage, usage.user, now_s)
        usage.sends = sends_full_s + self._sends_every_s
        usage.events = events_full_s + self._events_every_s

    def _spend_user(self, usage: Usage, user: UserUsage, now_s: float) -> None:
        """A message of a user, over whichever connection."""
        if self._user_sends.wait_s(user.sends, now_s):
            raise self._refusal(usage, "user_sends", self._user_sends, user.sends, now_s)
        user.sends = self._user_sends.taken(user.sends, now_s)

    def _spend_other(self, usage: Usage, kind: type, now_s: float) -> None:
        """An event that is no message. Only what passes its own limit draws from the one of all events. A signal over
        its limits is not refused: see `has_signal`."""
        if kind is Signal:
            return
        limit = READS.get(kind)
        full_s, rate = (0.0, NO_LIMIT) if limit is None else (getattr(usage, limit), self._of[limit])
        if limit is not None and rate.wait_s(full_s, now_s):
            raise self._refusal(usage, limit, rate, full_s, now_s)
        if self._events.wait_s(usage.events, now_s):
            raise self._refusal(usage, "events", self._events, usage.events, now_s)
        usage.events = self._events.taken(usage.events, now_s)
        if limit is not None:
            if full_s <= now_s and usage.trouble is not None:
                usage.trouble.lines.pop(limit, None)
            setattr(usage, limit, rate.taken(full_s, now_s))

    def has_signal(self, usage: Usage, now_s: float) -> bool:
        """Whether a signal may pass; one that may not is dropped and counted: signals are at most once."""
        if self._signals.wait_s(usage.signals, now_s) or self._events.wait_s(usage.events, now_s):
            rate_limited.because("signals")
            return False
        usage.signals = self._signals.taken(usage.signals, now_s)
        usage.events = self._events.taken(usage.events, now_s)
        return True

    # -- joins

    async def join_slowly(self, usage: Usage | None, now_s: float) -> None:
        """Lets a join wait until its time has come. Raises Refusal if too many wait."""
        if usage is None:
            return
        wait_s = self._joins.wait_s(usage.joins, now_s)
        if wait_s and self._joins_waiting >= self._joins_waiting_max:
            raise self._refusal(usage, "joins", self._joins, usage.joins, now_s)
        usage.joins = self._joins.taken(usage.joins, now_s)
        if wait_s:
            self._joins_waiting += 1
            try:
                await asyncio.sleep(wait_s)
            finally:
                self._joins_waiting -= 1

    def may_ask(self, usage: Usage, now_s: float) -> bool:
        """Whether the application may be asked, for this client, about one more room that it is not in: as often as it
        could by joining them."""
        if self._joins.wait_s(usage.joins, now_s):
            rate_limited.because("joins")
            return False
        usage.joins = self._joins.taken(usage.joins, now_s)
        return True

    # -- refusals

    def _refusal(self, usage: Usage, limit: str, rate: Rate, full_s: float, now_s: float) -> Refusal:
        """What tells the client when to come: behind those that were told before, if it comes with all of them."""
        rate_limited.because(limit)
        trouble = _trouble(usage)
        trouble.last = limit
        return Refusal(
            "rate_limited", retry_after_ms=ceil(trouble.line(limit).refuse(rate, full_s, now_s) * 1000)
        )

    def _count_over(self, usage: Usage, now_s: float) -> None:
        """A message was refused: how many in this second, and for how many seconds there were too many."""
        trouble, second = _trouble(usage), int(now_s)
        if second != trouble.second:
            was_over = trouble.refused > self._over and second == trouble.second + 1
            trouble.seconds_over = trouble.seconds_over + 1 if was_over else 0
            trouble.second, trouble.refused = second, 0
        trouble.refused += 1

    def charge(self, usage: Usage, code: str, has_joined: bool, now_s: float) -> bool:
        """An event was refused; whether the connection is to be ended for good. `has_joined` is whether the client has
        asked to join anything."""
        if code in NOT_ITS_FAULT:
            return False
        if code == "rate_limited":
            trouble = _trouble(usage)
            if trouble.seconds_over >= OVER_FOR_S:
                rate_limited.because("sends_without_pause")
                return True
            line = trouble.line(trouble.last)
            if not line.has_heard(now_s) or line.debt <= line.expected + MARGIN:
                return False
        elif code == "not_joined" and not has_joined and not _trouble(usage).line(code).has_heard(now_s):
            return False
        if self._refusals.wait_s(usage.refusals, now_s):
            rate_limited.because("refusals")
            return True
        usage.refusals = self._refusals.taken(usage.refusals, now_s)
        return False


def _trouble(usage: Usage) -> Trouble:
    if usage.trouble is None:
        usage.trouble = Trouble()
    return usage.trouble
