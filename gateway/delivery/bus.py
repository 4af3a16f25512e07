"""The bus: the worker's ears on Redis.

Owns the listening connection, what it is subscribed to, and whether it really hears. A worker that has heard
nothing for `probe_s` publishes a probe to itself through the store, behind a write that only a primary accepts; no
echo for `deaf_s` means deaf: the connection is dropped and opened again. Promises that a subscription is confirmed
before anybody is told so, and that `on_back` runs after all of them stand again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Protocol

import structlog

from gateway import keys
from gateway.delivery.routes import Route
from gateway.metrics import deaf
from gateway.state.endpoints import Finder, open_link
from gateway.state.kept import KeptLink
from gateway.state.link import Listener, ListenLink, Reply, pack
from gateway.state.store import Store

log = structlog.get_logger("gateway.bus")

BATCH = 500
"""Channels in one SUBSCRIBE when all are asked for again."""


class Bus(Protocol):
    """What the hub needs of the ears, whatever the topology."""

    on_messages: Listener
    on_back: Callable[[], None]

    @property
    def complaint(self) -> str | None: ...
    def subscribe(self, channel: bytes) -> asyncio.Future[None]: ...
    def unsubscribe(self, channel: bytes) -> None: ...
    async def start(self, limit_s: float) -> None: ...
    async def close(self) -> None: ...


class Subscriptions:
    """What one listening connection should be subscribed to, and who waits for confirmation."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self._wanted: dict[bytes, asyncio.Future[None]] = {}
        self._open = 0
        self.link: ListenLink | None = None

    @property
    def is_complete(self) -> bool:
        """Whether every wanted channel is confirmed on the present link."""
        return self.link is not None and self._open == 0

    def channels(self) -> Iterable[bytes]:
        """All wanted channels."""
        return list(self._wanted)

    def want(self, channel: bytes) -> asyncio.Future[None]:
        """Subscribes; the future is done once Redis has confirmed, on this link or a later one."""
        confirmed = self._wanted.get(channel)
        if confirmed is None:
            confirmed = self._wanted[channel] = asyncio.get_running_loop().create_future()
            self._open += 1
            if self.link is not None:
                self.link.subscribe(self._verb(channel), [channel])
        return confirmed

    def drop(self, channel: bytes) -> None:
        """Unsubscribes."""
        confirmed = self._wanted.pop(channel, None)
        if confirmed is None:
            return
        if not confirmed.done():
            self._open -= 1
            confirmed.cancel()
        if self.link is not None:
            self.link.subscribe(
                b"UN" + self._verb(channel) if self._is_plain(channel) else b"SUNSUBSCRIBE", [channel]
            )

    def begin(self, link: ListenLink) -> None:
        """Asks for everything again on a new link, in batches."""
        self.link = link
        for verb in {self._verb(channel) for channel in self._wanted}:
            channels = [channel for channel in self._wanted if self._verb(channel) == verb]
            for at in range(0, len(channels), BATCH):
                link.subscribe(verb, channels[at : at + BATCH])

    def lost(self) -> None:
        """The link is gone: nothing is confirmed any more."""
        self.link = None
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
        waiting.set_result(None)
        self._open -= 1
        return self._open == 0

    def _is_plain(self, channel: bytes) -> bool:
        return channel == keys.SOCKETIO_CHANNEL or channel.startswith(b"gateway:")

    def _verb(self, channel: bytes) -> bytes:
        return b"SUBSCRIBE" if self._is_plain(channel) else self._route.subscribe_verb


class PrimaryBus:
    """Ears on one primary: a plain server's, or the one that Sentinel names."""

    def __init__(
        self, finder: Finder, store: Store, worker: str, route: Route, probe_s: float, deaf_s: float
    ) -> None:
        self._finder = finder
        self._store = store
        self._worker = worker
        self._probe_s, self._deaf_s = probe_s, deaf_s
        self._probe_channel = keys.worker_probe(worker)
        self._subscriptions = Subscriptions(route)
        self._kept: KeptLink[ListenLink] = KeptLink("bus", self._connect, self._up, self._down)
        self._watch: asyncio.Task[None] | None = None
        self._was_complete = False
        self._lost_at_s = time.monotonic()
        self.on_messages: Listener = lambda messages: None
        self.on_back: Callable[[], None] = lambda: None
        self._always = [self.subscribe(keys.SOCKETIO_CHANNEL), self.subscribe(self._probe_channel)]

    @property
    def complaint(self) -> str | None:
        """Why this worker does not hear everything, or None."""
        if not self._subscriptions.is_complete and not (self._kept.link is not None and self._was_complete):
            return "not subscribed to the store"
        link = self._kept.link
        if link is not None and time.monotonic() - link.heard_at_s > self._deaf_s:
            return "deaf: the store's channels are silent"
        return None

    def subscribe(self, channel: bytes) -> asyncio.Future[None]:
        """Subscribes to a channel; the future is done once it is confirmed."""
        return self._subscriptions.want(channel)

    def unsubscribe(self, channel: bytes) -> None:
        """Ends a subscription."""
        self._subscriptions.drop(channel)

    async def start(self, limit_s: float) -> None:
        """Connects in the background and waits up to `limit_s` to hear; does not insist on it."""
        self._kept.start()
        self._watch = asyncio.create_task(self._listen_for_silence())
        await asyncio.wait(self._always, timeout=limit_s)

    async def close(self) -> None:
        """Ends listening."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await self._kept.close()
        for channel in self._subscriptions.channels():
            self._subscriptions.drop(channel)

    def drop(self, reason: str) -> None:
        """Gives up the present connection and finds the primary again."""
        self._kept.drop(reason)

    async def _connect(self, on_lost: Callable[[], None]) -> ListenLink:
        endpoint = await self._finder.find()
        return await open_link(
            endpoint,
            lambda: ListenLink(on_lost, self._heard, self._confirmed),
            f"gateway-{self._worker}-bus",
            self._finder.must_be_primary,
        )

    def _up(self, link: ListenLink) -> None:
        self._was_complete = False
        self._subscriptions.begin(link)

    def _down(self) -> None:
        self._was_complete = False
        self._subscriptions.lost()

    def _confirmed(self, kind: bytes, channel: bytes) -> None:
        is_last = kind in (b"subscribe", b"ssubscribe") and self._subscriptions.confirmed(channel)
        if is_last and not self._was_complete:
            self._was_complete = True
            log.info("bus_listening", channels=len(list(self._subscriptions.channels())))
            self.on_back()

    def _heard(self, messages: list[tuple[bytes, bytes]]) -> None:
        self.on_messages(messages)

    async def _listen_for_silence(self) -> None:
        """Woken every eighth of `probe_s`; ended by `close`. Probes a silent link and drops a deaf one."""
        while True:
            await asyncio.sleep(self._probe_s / 8)
            link = self._kept.link
            if link is None:
                continue
            silent_s = time.monotonic() - link.heard_at_s
            if silent_s >= self._deaf_s:
                deaf.add(1)
                log.warning("bus_deaf", silent_s=round(silent_s, 1))
                self._kept.drop("deaf")
                self._store.drop("the bus is deaf")
            elif silent_s >= self._probe_s:
                self._probe()

    def _probe(self) -> None:
        beat = pack(b"ZADD", keys.WORKERS, time.time(), self._worker)
        echo = pack(b"PUBLISH", self._probe_channel, b"?")
        self._store.submit(keys.WORKERS, beat, _nobody)
        self._store.submit(keys.WORKERS, echo, _nobody)


def _nobody(reply: Reply) -> None:
    """Whether the probe arrived is heard, not answered."""
