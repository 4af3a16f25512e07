"""One connection to one Redis, spoken in RESP2 on a transport of our own.

Owns the bytes of a connection: what was submitted in one turn of the event loop leaves in one write, and replies
are matched to commands in order. Promises that every submitted command is answered exactly once: with its reply,
with `StoreUnavailable` when none came in time or the connection broke, or with `StoreRefused`. A command that was
sent is never cancelled. Knows nothing of what the commands mean.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import hiredis

from gateway.errors import StoreDenied, StoreError, StoreMoved, StoreRefused, StoreUnavailable
from gateway.interfaces import Argument, OnReply, Reply
from gateway.metrics import store_rtt_seconds
from gateway.redis.script import Script

IN_FLIGHT_MAX = 100_000
"""Commands without an answer that one connection holds; more are refused at once, so that memory stays bounded."""

STALE_S = 1.0
"""Where another server can take over, an answer that took longer is not believed. Sentinels and Clusters are not
configured to give up a server that stood still for less."""

SWEEPS_PER_TIMEOUT = 10
"""Looks for commands that waited too long, in the time that one may take. A command is given up one and a half steps
before its time is over, so that it is answered at 85 to 95 % of it and never late."""

_TRANSIENT = (
    "READONLY",
    "LOADING",
    "MASTERDOWN",
    "NOREPLICAS",
    "OOM",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "BUSY",
    "MISCONF",
    "NOSCRIPT",
)
_DENIED = ("NOPERM", "NOAUTH", "WRONGPASS")
_DENIED_IN_A_SCRIPT = (
    "ACL failure in script",
    "The user executing the script can't",
)  # since, and before, Redis 7.2
_NOT_PRIMARY = ("READONLY", "MASTERDOWN")
_ENDS_CONNECTION = (*_NOT_PRIMARY, "NOSCRIPT")


def pack(*arguments: Argument) -> bytes:
    """A command in RESP, by hiredis."""
    packed: bytes = hiredis.pack_command(arguments)  # type: ignore[arg-type]
    return packed


class Connection(asyncio.Protocol):
    """What both kinds of connection share: writes once per turn, a reader, and word of the end."""

    def __init__(self, on_lost: Callable[[], None]) -> None:
        self._on_lost = on_lost
        self._reader = hiredis.Reader()
        self._out: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport | None = None
        self.server = ""  # which process is at the other end, once it has greeted
        self.heard_at_s = time.monotonic()
        self.refusal = ""  # what the server said when it refused what this connection is for
        self.ended_by = ""  # what it said that ended this connection

    @property
    def is_open(self) -> bool:
        """Whether commands can be written."""
        return self.transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._on_lost()

    def abort(self) -> None:
        """Ends the connection at once."""
        if self.transport is not None:
            self.transport.abort()

    def write(self, command: bytes) -> None:
        """Puts a packed command into this turn's write."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(command)

    def _flush(self) -> None:
        out, self._out = self._out, []
        if self.transport is not None and out:
            self.transport.write(out[0] if len(out) == 1 else b"".join(out))


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandOptions:
    """How long a server may take, and what it must know.

    timeout_s       a command without an answer by then is answered `StoreUnavailable`
    unresponsive_s  a server that has not answered its oldest command by then loses its connection
    stale_s         an answer that took longer is not believed, nor what follows it: the server stood still, and
                    another may have taken over. The connection ends, so that the primary is found again. None where
                    no other server can take over
    scripts         loaded at each new connection
    """

    timeout_s: float
    unresponsive_s: float
    stale_s: float | None = None
    scripts: Sequence[Script] = ()


class CommandConnection(Connection):
    """A connection for commands: each is answered by its callback, in the order of submission.

    Scripts are loaded once. Redis forgets them after SCRIPT FLUSH (NOSCRIPT): the connection ends then, what was under
    way is answered `StoreUnavailable`, and the next connection loads them again.
    """

    def __init__(self, on_lost: Callable[[], None], options: CommandOptions) -> None:
        super().__init__(on_lost)
        self._options = options
        self._in_flight: deque[tuple[OnReply, float]] = deque()
        self._timed_out: deque[float] = (
            deque()
        )  # sent before all of _in_flight, answered; their replies still come
        self._turn_s = 0.0
        self._sweep: asyncio.TimerHandle | None = None

    @property
    def pending(self) -> int:
        """Commands without an answer."""
        return len(self._in_flight) + len(self._timed_out)

    def submit(self, command: bytes, on_reply: OnReply) -> None:
        """Sends a packed command; `on_reply` gets the reply, or a StoreError, exactly once, never inside this call
        unless the connection is closed or full."""
        if self.transport is None or len(self._in_flight) + len(self._timed_out) >= IN_FLIGHT_MAX:
            on_reply(StoreUnavailable("no connection to the store"))
        else:
            self._send(command, on_reply)

    def call(self, *arguments: Argument) -> asyncio.Future[Reply]:
        """Sends a command; the future gets the reply or raises a StoreError."""
        future: asyncio.Future[Reply] = self._loop.create_future()
        self.submit(pack(*arguments), settle(future))
        return future

    def connection_lost(self, exc: Exception | None) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
        waiting, self._in_flight = self._in_flight, deque()
        self._timed_out.clear()
        self.transport = None
        lost = StoreUnavailable("the connection to the store broke")
        for on_reply, _ in waiting:
            on_reply(lost)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        stale_s = self._options.stale_s
        if stale_s is not None and now - self._oldest_s(now) > stale_s:
            self.abort()
            return
        self.heard_at_s = now
        if self._in_flight and not self._timed_out:
            store_rtt_seconds.observe(now - self._in_flight[0][1])
        reader = self._reader
        reader.feed(data)
        while (reply := reader.gets()) is not False:
            if self._timed_out:
                self._timed_out.popleft()
                continue
            on_reply, _ = self._in_flight.popleft()
            if isinstance(reply, hiredis.ReplyError):
                self._failed(str(reply), on_reply)
            else:
                on_reply(reply)

    def load_scripts(self) -> asyncio.Future[list[Reply]]:
        """Makes Redis know the scripts; the future gets what it said to each, errors among them."""
        loads = [self.call(b"SCRIPT", b"LOAD", script.text) for script in self._options.scripts]
        return asyncio.gather(*loads, return_exceptions=True)

    def _send(self, command: bytes, on_reply: OnReply) -> None:
        if not self._out:
            self._turn_s = time.monotonic()
            if self._sweep is None:
                self._schedule_sweep()
        self._in_flight.append((on_reply, self._turn_s))
        self.write(command)

    def _failed(self, text: str, on_reply: OnReply) -> None:
        on_reply(as_store_error(text))
        if text.startswith(_ENDS_CONNECTION):
            self.ended_by = text
            self.abort()

    def _oldest_s(self, now: float) -> float:
        """When the oldest command without a reply was sent; now if there is none."""
        if self._timed_out:
            return self._timed_out[0]
        return self._in_flight[0][1] if self._in_flight else now

    def _schedule_sweep(self) -> None:
        self._sweep = self._loop.call_later(self._options.timeout_s / SWEEPS_PER_TIMEOUT, self._expire)

    def _expire(self) -> None:
        """Answers what waited too long; drops a connection whose server is unresponsive."""
        now, self._sweep = time.monotonic(), None
        limit_s = now - self._options.timeout_s * (1 - 1.5 / SWEEPS_PER_TIMEOUT)
        late = []
        while self._in_flight and self._in_flight[0][1] <= limit_s:
            on_reply, since_s = self._in_flight.popleft()
            self._timed_out.append(since_s)
            late.append(on_reply)
        for on_reply in late:
            on_reply(StoreUnavailable("the store did not answer in time"))
        if self._in_flight or self._timed_out:
            if self._oldest_s(now) <= now - self._options.unresponsive_s:
                self.abort()
            else:
                self._schedule_sweep()


def settle(future: asyncio.Future[Reply]) -> OnReply:
    """A callback that gives a reply or an error to whoever awaits the future, if somebody still does."""

    def on_reply(reply: Reply) -> None:
        if future.done():
            return
        if isinstance(reply, Exception):
            future.set_exception(reply)
        else:
            future.set_result(reply)

    return on_reply


def as_store_error(text: str) -> StoreError:
    """Sorts an error reply of Redis by its first word. What the reply repeats of the command is left out: it may be a
    password, or somebody's message."""
    text = text.partition(", with args beginning with")[0]
    if text.startswith(("MOVED", "ASK ")):
        return StoreMoved(text)
    if text.startswith(_DENIED) or any(words in text for words in _DENIED_IN_A_SCRIPT):
        return StoreDenied(text)
    if text.startswith(_TRANSIENT) or " READONLY " in text or "-READONLY" in text:
        return StoreUnavailable(text)
    return StoreRefused(text)
