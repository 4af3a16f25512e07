"""The store: where commands go, whatever the topology.

Owns the command connection to the primary. Promises what `CommandLink` promises; while there is no connection a
command is answered `StoreUnavailable` at once. `cluster.py` has the same surface over many primaries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from gateway.state.endpoints import Finder, open_link
from gateway.state.kept import KeptLink
from gateway.state.link import Argument, CommandLink, OnReply, Reply, StoreUnavailable, pack, settle
from gateway.state.scripts import Script


class Store(Protocol):
    """Commands by key. `on_up` callbacks run each time a connection stands; `on_down` when it is lost; `on_moved`
    before `on_up` when it leads to another server than the last one, with the time when that was last heard."""

    publish_verb: bytes
    on_up: list[Callable[[], None]]
    on_down: list[Callable[[], None]]
    on_moved: list[Callable[[float], None]]

    @property
    def is_up(self) -> bool: ...
    def server(self, key: bytes) -> str: ...
    def submit(self, key: bytes, command: bytes, on_reply: OnReply) -> None: ...
    def call(self, key: bytes, *arguments: Argument) -> asyncio.Future[Reply]: ...
    def run(
        self, script: Script, keys: tuple[bytes, ...], *arguments: bytes | str | int
    ) -> asyncio.Future[Reply]: ...
    def drop(self, reason: str) -> None: ...
    def hurry(self) -> None: ...
    async def start(self, limit_s: float) -> None: ...
    async def close(self) -> None: ...


class Commands:
    """What every store offers on top of `submit`."""

    def submit(self, key: bytes, command: bytes, on_reply: OnReply) -> None:
        """Sends a packed command to the server that holds `key`."""
        raise StoreUnavailable("this store has no servers")

    def call(self, key: bytes, *arguments: Argument) -> asyncio.Future[Reply]:
        """Sends a command to the server that holds `key`; the future gets the reply or raises a StoreError."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.submit(key, pack(*arguments), settle(future))
        return future

    def run(
        self, script: Script, keys: tuple[bytes, ...], *arguments: bytes | str | int
    ) -> asyncio.Future[Reply]:
        """Runs a script where its first key is."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.submit(keys[0], script.command(keys, *arguments), settle(future))
        return future


class PrimaryStore(Commands):
    """One primary: a plain server, or the one that Sentinel names."""

    publish_verb = b"PUBLISH"

    def __init__(
        self, finder: Finder, name: str, timeout_s: float, deaf_s: float, stale_s: float | None = None
    ) -> None:
        """`stale_s`: see `CommandLink`; only where another server can take over."""
        self._finder = finder
        self._name = name
        self._limits = timeout_s, deaf_s, stale_s
        self._last: CommandLink | None = None
        self._kept: KeptLink[CommandLink] = KeptLink("commands", self._connect, self._up, self._down)
        self._first = asyncio.Event()
        self.on_up: list[Callable[[], None]] = []
        self.on_down: list[Callable[[], None]] = []
        self.on_moved: list[Callable[[float], None]] = []

    @property
    def is_up(self) -> bool:
        """Whether a connection to the primary stands."""
        return self._kept.link is not None

    def server(self, key: bytes) -> str:
        """Which server process holds a key; empty while there is no connection to it."""
        return self._kept.link.server if self._kept.link is not None else ""

    def submit(self, key: bytes, command: bytes, on_reply: OnReply) -> None:
        link = self._kept.link
        if link is None:
            on_reply(StoreUnavailable("no connection to the store"))
        else:
            link.submit(command, on_reply)

    def drop(self, reason: str) -> None:
        """Gives up the present connection and finds the primary again."""
        self._kept.drop(reason)

    def hurry(self) -> None:
        """The store answers somebody: without a connection, tries again at once."""
        self._kept.hurry()

    async def start(self, limit_s: float) -> None:
        """Connects in the background and waits up to `limit_s` for the first connection; does not insist on it."""
        self._kept.start()
        try:
            async with asyncio.timeout(limit_s):
                await self._first.wait()
        except TimeoutError:
            pass

    async def close(self) -> None:
        await self._kept.close()

    async def _connect(self, on_lost: Callable[[], None]) -> CommandLink:
        endpoint = await self._finder.find()
        link = await open_link(
            endpoint,
            lambda: CommandLink(on_lost, *self._limits),
            self._name,
            self._finder.must_be_primary,
        )
        link.load_scripts()
        return link

    def _up(self, link: CommandLink) -> None:
        self._first.set()
        last, self._last = self._last, link
        if last is not None and link.server != last.server:
            for tell_moved in self.on_moved:
                tell_moved(last.heard_at_s)
        for tell in self.on_up:
            tell()

    def _down(self) -> None:
        for tell in self.on_down:
            tell()
