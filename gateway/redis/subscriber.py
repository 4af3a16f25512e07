"""One connection for subscriptions, and whether it really hears.

Owns what a connection is subscribed to, asks for all of it again when the connection is new, and notices silence:
after `probe_s` without a word a probe is published through the store, and without an echo for `unresponsive_s`
the connection is dropped. Promises that a subscription is confirmed before anybody is told so.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from gateway import keys
from gateway.background import Background
from gateway.interfaces import Listener, SubscriberEvents
from gateway.metrics import bus_reconnects, deaf
from gateway.redis.connection import as_store_error
from gateway.redis.reconnect import ReconnectingConnection
from gateway.redis.subscriber_connection import SubscriberConnection
from gateway.redis.troubles import trouble_of

log = structlog.get_logger("gateway.pubsub")

BATCH = 500
"""Channels that are asked for in one step when all are asked for again."""

STEP_PAUSE_S = 0.05
"""Longest pause between two steps. It is random, so that workers which lost a server in one moment do not ask the next
one for everything in one moment. 10,000 channels take half a second, and a second at most."""

_UNDO = {b"SUBSCRIBE": b"UNSUBSCRIBE", b"SSUBSCRIBE": b"SUNSUBSCRIBE", b"PSUBSCRIBE": b"PUNSUBSCRIBE"}

Open = Callable[[Callable[[], SubscriberConnection]], Awaitable[SubscriberConnection]]
"""Opens a connection to the right server around the one that it is given."""


class Subscriptions:
    """What one connection should be subscribed to, and who waits for confirmation."""

    def __init__(self, subscribe_verb: bytes) -> None:
        """`subscribe_verb` is for rooms' channels; the others are plain ones on every topology."""
        self._room_verb = subscribe_verb
        self._wanted: dict[bytes, asyncio.Future[None]] = {}
        self._open = 0
        self._ending: dict[bytes, int] = {}
        self._to_ask: set[bytes] = set()  # what is still to be asked for on this connection
        self._confirmed: asyncio.Future[None] | None = None
        self.connection: SubscriberConnection | None = None

    def __len__(self) -> int:
        return len(self._wanted)

    def channels(self) -> list[bytes]:
        """All wanted channels."""
        return list(self._wanted)

    def want(self, channel: bytes) -> asyncio.Future[None]:
        """Subscribes; the future is done once Redis has confirmed, on this connection or a later one."""
        confirmed = self._wanted.get(channel)
        if confirmed is None:
            confirmed = self._wanted[channel] = asyncio.get_running_loop().create_future()
            self._open += 1
            if self.connection is not None:
                self.connection.subscribe(self._verb(channel), [channel])
        return confirmed

    def give_up(self, refusal: str) -> list[bytes]:
        """Drops the channels that a worker can do without, if this refusal of the last connection may be of them: newer
        servers name the channel that this user may not listen to. Returns what was dropped."""
        given_up = [
            channel
            for channel in self._wanted
            if keys.may_be_refused(channel) and ("'" not in refusal or f"'{channel.decode()}'" in refusal)
        ]
        for channel in given_up:
            self.drop(channel)
        return given_up

    def drop(self, channel: bytes) -> None:
        """Unsubscribes."""
        confirmed = self._wanted.pop(channel, None)
        if confirmed is None:
            return
        if not confirmed.done():
            self._open -= 1
            confirmed.cancel()
        if channel in self._to_ask:
            self._to_ask.discard(channel)
        elif self.connection is not None:
            self._ending[channel] = self._ending.get(channel, 0) + 1
            self.connection.subscribe(_UNDO[self._verb(channel)], [channel])

    def begin(self, connection: SubscriberConnection) -> list[list[bytes]]:
        """A new connection. Returns the steps in which everything is to be asked for again; the channels that are no
        room's come first."""
        self.connection, self._ending = connection, {}
        channels = sorted(self._wanted, key=lambda channel: not keys.is_plain(channel))
        self._to_ask = set(channels)
        return [channels[at : at + BATCH] for at in range(0, len(channels), BATCH)]

    def ask(self, channels: Sequence[bytes]) -> None:
        """One step: one command for each kind, or for each channel where channels have slots, because SSUBSCRIBE takes
        only those of one slot (they still leave in one write). What was dropped meanwhile is left out."""
        connection, wanted = self.connection, [channel for channel in channels if channel in self._to_ask]
        if connection is None:
            return
        self._to_ask.difference_update(wanted)
        for verb in dict.fromkeys(map(self._verb, wanted)):
            kind = [channel for channel in wanted if self._verb(channel) == verb]
            size = 1 if verb == b"SSUBSCRIBE" else BATCH
            for at in range(0, len(kind), size):
                connection.subscribe(verb, kind[at : at + size])

    def lost(self) -> None:
        """The connection is gone: nothing is confirmed any more."""
        self.connection, self._to_ask = None, set()
        loop = asyncio.get_running_loop()
        for channel, confirmed in self._wanted.items():
            if confirmed.done():
                self._wanted[channel] = loop.create_future()
                self._open += 1

    def confirmed(self, channel: bytes) -> bool:
        """Redis confirmed a channel; returns whether that was the last open one."""
        waiting = self._wanted.get(channel)
        if waiting is None or waiting.done():
            return False
        if channel in self._ending:  # that was for an earlier subscription, which ends now
            return False
        waiting.set_result(None)
        # One for all that are confirmed: a future takes as much memory as the rest of a quiet channel.
        self._wanted[channel] = self._confirmed = self._confirmed or waiting
        self._open -= 1
        return self._open == 0

    def ended(self, channel: bytes) -> bool:
        """Redis ended a subscription; returns whether nobody here asked for that and the channel is still wanted."""
        asked = self._ending.get(channel, 0)
        if asked > 1:
            self._ending[channel] = asked - 1
        elif asked:
            del self._ending[channel]
        return not asked and channel in self._wanted

    def _verb(self, channel: bytes) -> bytes:
        if channel == keys.NODE_PATTERN:
            return b"PSUBSCRIBE"
        return b"SUBSCRIBE" if keys.is_plain(channel) else self._room_verb


class Subscriber:
    """A connection for subscriptions that is kept."""

    def __init__(
        self, name: str, connect: Open, subscribe_verb: bytes, probe_s: float, unresponsive_s: float
    ) -> None:
        """A connection without a word for `probe_s` is probed; one without a word for `unresponsive_s` is replaced."""
        self._name = name
        self._open = connect
        self._probe_s, self._unresponsive_s = probe_s, unresponsive_s
        self.subscriptions = Subscriptions(subscribe_verb)
        self._reconnecting: ReconnectingConnection[SubscriberConnection] = ReconnectingConnection(
            name, self._connect, self._up, self._down, bus_reconnects
        )
        self._events: SubscriberEvents | None = None
        self._on_messages: Listener | None = None
        self._background = Background(f"subscriber {name}")
        self._was_complete = False
        self._refusal = ""  # why channels were refused, until all are confirmed; logged when it changes
        self._last: SubscriberConnection | None = None

    @property
    def unhealthy_reason(self) -> str | None:
        """Why this connection does not hear everything, or None."""
        connection = self._reconnecting.connection
        if connection is None or not self._was_complete:
            if self._refusal:
                return f"the store refuses its channels: {trouble_of(as_store_error(self._refusal))}"
            return "not subscribed to the store"
        if time.monotonic() - connection.heard_at_s > self._unresponsive_s:
            return "deaf: the store's channels are silent"
        return None

    @property
    def server(self) -> str:
        """Which server process is listened to; empty while there is none."""
        return self._reconnecting.connection.server if self._reconnecting.connection is not None else ""

    @property
    def heard_at_s(self) -> float:
        """When something was last heard, on this connection or the one before it."""
        return self._last.heard_at_s if self._last is not None else time.monotonic()

    def start(self, events: SubscriberEvents, on_messages: Listener) -> None:
        """Begins to listen in the background."""
        self._events, self._on_messages = events, on_messages
        self._reconnecting.start()
        self._background.keep(self._listen_for_silence(events), f"probes {self._name}")

    async def close(self) -> None:
        """Ends listening."""
        await self._background.close()
        await self._reconnecting.close()
        for channel in self.subscriptions.channels():
            self.subscriptions.drop(channel)

    def drop(self, reason: str) -> None:
        """Gives up the present connection and opens another."""
        self._reconnecting.drop(reason)

    def retry_now(self) -> None:
        """The store answers somebody: without a connection, tries again at once."""
        self._reconnecting.retry_now()

    async def _connect(self, on_lost: Callable[[], None]) -> SubscriberConnection:
        assert self._on_messages is not None
        on_messages = self._on_messages
        return await self._open(lambda: SubscriberConnection(on_lost, on_messages, self._confirmed))

    def _up(self, connection: SubscriberConnection) -> None:
        self._last = connection
        self._was_complete = False
        first, *others = self.subscriptions.begin(connection) or [[]]
        self.subscriptions.ask(first)
        if others:
            self._background.run(self._ask_on(connection, others), "channels that are asked for again")
        if self._events is not None:
            self._events.on_subscriber_up()

    async def _ask_on(self, connection: SubscriberConnection, steps: Sequence[Sequence[bytes]]) -> None:
        """Ended by the last step, or when the connection is another."""
        for step in steps:
            await asyncio.sleep(random.uniform(0.0, STEP_PAUSE_S))
            if self.subscriptions.connection is not connection:
                return
            self.subscriptions.ask(step)

    def _down(self) -> None:
        self._was_complete = False
        refusal = self._last.refusal if self._last is not None else ""
        self.subscriptions.lost()
        if refusal.startswith("NOPERM") and (given_up := self.subscriptions.give_up(refusal)):
            names = [channel.decode() for channel in given_up]
            log.warning("subscription_given_up", connection=self._name, channels=names, reason=refusal)
        elif refusal and refusal != self._refusal:
            log.error("subscription_refused", connection=self._name, reason=refusal)
            self._refusal = refusal
        if self._events is not None:
            self._events.on_subscriber_lost()

    def _confirmed(self, kind: bytes, channel: bytes) -> None:
        if self._events is None:
            return
        if kind in (b"unsubscribe", b"sunsubscribe", b"punsubscribe"):
            if self.subscriptions.ended(channel):
                self._events.on_subscription_ended(channel)
        elif self.subscriptions.confirmed(channel) and not self._was_complete:
            self._was_complete, self._refusal = True, ""
            log.info("pubsub_listening", connection=self._name, channels=len(self.subscriptions.channels()))
            self._events.on_subscribed()

    async def _listen_for_silence(self, events: SubscriberEvents) -> None:
        """Woken eight times in `probe_s`, so that silence is noticed an eighth of it late at most; ended by `close`.
        Probes a silent connection and drops an unresponsive one."""
        while True:
            await asyncio.sleep(self._probe_s / 8)
            connection = self._reconnecting.connection
            if connection is None:
                continue
            silent_s = time.monotonic() - connection.heard_at_s
            if silent_s >= self._unresponsive_s:
                deaf.add(1)
                log.warning("pubsub_unresponsive", connection=self._name, silent_s=round(silent_s, 1))
                self._reconnecting.drop("unresponsive")
                events.on_unresponsive()
            elif silent_s >= self._probe_s:
                events.probe()
