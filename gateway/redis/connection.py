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

import hiredis

from gateway.errors import StoreError, StoreMoved, StoreRefused, StoreUnavailable
from gateway.interfaces import Argument, OnReply, Reply
from gateway.redis.script import Script

IN_FLIGHT_MAX = 100_000
"""Commands without an answer that one link holds; more are refused at once, so that memory stays bounded."""

STALE_S = 1.0
"""Where another server can take over, an answer that took longer is not believed. Sentinels and Clusters are not
configured to give up a server that stood still for less."""

_PASSING = (
    "READONLY",
    "LOADING",
    "MASTERDOWN",
    "NOREPLICAS",
    "OOM",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "BUSY",
    "MISCONF",
)
_WRONG_SERVER = ("READONLY", "MASTERDOWN")


def pack(*arguments: Argument) -> bytes:
    """A command in RESP, by hiredis."""
    packed: bytes = hiredis.pack_command(arguments)  # type: ignore[arg-type]
    return packed


class Connection(asyncio.Protocol):
    """What both kinds of link share: writes once per turn, a reader, and word of the end."""

    def __init__(self, on_lost: Callable[[], None]) -> None:
        self._on_lost = on_lost
        self._reader = hiredis.Reader()
        self._out: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport | None = None
        self.server = ""  # which process is at the other end, once it has greeted
        self.heard_at_s = time.monotonic()

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


class CommandConnection(Connection):
    """A link for commands: each is answered by its callback, in the order of submission.

    A script that Redis has forgotten (NOSCRIPT) is loaded again; the commands that met it, and all that were
    submitted meanwhile, are sent again in their order.
    """

    def __init__(
        self, on_lost: Callable[[], None], timeout_s: float, deaf_s: float, stale_s: float | None = None
    ) -> None:
        """An answer that took longer than `stale_s` is not believed, nor what follows it: the server stood still, and
        another may have taken over. The connection is ended then, so that the primary is found again."""
        super().__init__(on_lost)
        self._timeout_s = timeout_s
        self._deaf_s = deaf_s
        self._stale_s = stale_s
        self._in_flight: deque[tuple[OnReply, float, bytes]] = deque()
        self._expired = 0  # leading entries of _in_flight that were already answered as timed out
        self._turn_s = 0.0
        self._scripts: Sequence[Script] = ()
        self._again: list[tuple[OnReply, float, bytes]] | None = None
        self._held: list[tuple[OnReply, float, bytes]] = []
        self._sweep: asyncio.TimerHandle | None = None

    def submit(self, command: bytes, on_reply: OnReply) -> None:
        """Sends a packed command; `on_reply` gets the reply, or a StoreError, exactly once, never inside this call
        unless the link is closed or full."""
        if self.transport is None or len(self._in_flight) >= IN_FLIGHT_MAX:
            on_reply(StoreUnavailable("no connection to the store"))
        elif self._again is not None:
            self._held.append((on_reply, time.monotonic(), command))
        else:
            self._send(command, on_reply)

    def call(self, *arguments: Argument) -> asyncio.Future[Reply]:
        """Sends a command; the future gets the reply or raises a StoreError."""
        return self.call_packed(pack(*arguments))

    def call_packed(self, command: bytes) -> asyncio.Future[Reply]:
        """The same for a packed command."""
        future: asyncio.Future[Reply] = self._loop.create_future()
        self.submit(command, settle(future))
        return future

    def connection_lost(self, exc: Exception | None) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
        waiting = list(self._in_flight)[self._expired :]
        unsent = [*(self._again or ()), *self._held]
        self._in_flight.clear()
        self._again, self._held, self.transport = None, [], None
        lost = StoreUnavailable("the connection to the store broke")
        for on_reply, _, _ in waiting:
            on_reply(lost)
        for on_reply, _, _ in unsent:
            on_reply(lost)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        if self._stale_s is not None and self._in_flight and now - self._in_flight[0][1] > self._stale_s:
            self.abort()
            return
        self.heard_at_s = now
        reader = self._reader
        reader.feed(data)
        while (reply := reader.gets()) is not False:
            on_reply, since_s, command = self._in_flight.popleft()
            if self._expired:
                self._expired -= 1
            elif isinstance(reply, hiredis.ReplyError):
                self._failed(reply, on_reply, since_s, command)
            else:
                on_reply(reply)
        if self._again is not None and not self._in_flight:
            self._reload()

    def _send(self, command: bytes, on_reply: OnReply) -> None:
        if not self._out:
            self._turn_s = time.monotonic()
            if self._sweep is None:
                self._schedule_sweep()
        self._in_flight.append((on_reply, self._turn_s, command))
        self.write(command)

    def _failed(self, error: Exception, on_reply: OnReply, since_s: float, command: bytes) -> None:
        text = str(error)
        if text.startswith("NOSCRIPT"):
            self._again = self._again if self._again is not None else []
            self._again.append((on_reply, since_s, command))
            return
        on_reply(as_store_error(text))
        if text.startswith(_WRONG_SERVER):
            self.abort()

    def _reload(self) -> None:
        again = [*(self._again or ()), *self._held]
        self._again, self._held = None, []
        self.load_scripts(self._scripts)
        for on_reply, _, command in again:
            self._send(command, on_reply)

    def load_scripts(self, scripts: Sequence[Script]) -> None:
        """Makes Redis know these scripts; a failure shows when one is used."""
        self._scripts = scripts
        for script in scripts:
            self._send(pack(b"SCRIPT", b"LOAD", script.text), _ignore)

    def _schedule_sweep(self) -> None:
        self._sweep = self._loop.call_later(self._timeout_s / 10, self._expire)

    def _expire(self) -> None:
        """Answers what waited too long; drops a connection that has been silent for `deaf_s`."""
        now, self._sweep = time.monotonic(), None
        limit = now - self._timeout_s * 0.85
        late = []
        while self._expired < len(self._in_flight) and self._in_flight[self._expired][1] <= limit:
            late.append(self._in_flight[self._expired][0])
            self._expired += 1
        for waiting in (self._again, self._held):
            if waiting:  # for the scripts to be loaded again
                late += [on_reply for on_reply, since_s, _ in waiting if since_s <= limit]
                waiting[:] = [one for one in waiting if one[1] > limit]
        for on_reply in late:
            on_reply(StoreUnavailable("the store did not answer in time"))
        if self._in_flight:
            if self._in_flight[0][1] <= now - self._deaf_s:
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
    """Sorts an error reply of Redis by its first word."""
    if text.startswith(("MOVED", "ASK ")):
        return StoreMoved(text)
    if text.startswith(_PASSING) or " READONLY " in text or "-READONLY" in text:
        return StoreUnavailable(text)
    return StoreRefused(text)


def _ignore(reply: Reply) -> None:
    """Nobody waits for this reply."""
