"""The store: where commands go, whatever the topology.

Owns the command connection to the primary. Promises what `CommandLink` promises; while there is no connection a
command is answered `StoreUnavailable` at once. `cluster.py` has the same surface over many primaries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from gateway.errors import StoreUnavailable
from gateway.interfaces import Argument, OnReply, PrimaryFinder, Reply, ScriptCommand
from gateway.redis.address import Endpoint, open_connection
from gateway.redis.connection import CommandConnection, pack, settle
from gateway.redis.reconnect import ReconnectingConnection
from gateway.redis.script import Script


class CommandCalls:
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
        self, script: ScriptCommand, keys: tuple[bytes, ...], *arguments: bytes | str | int
    ) -> asyncio.Future[Reply]:
        """Runs a script where its first key is."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.submit(keys[0], script.command(keys, *arguments), settle(future))
        return future


class PrimaryCommands(CommandCalls):
    """One primary: a plain server, or the one that Sentinel names."""

    publish_verb = b"PUBLISH"

    def __init__(
        self,
        finder: PrimaryFinder[Endpoint],
        name: str,
        timeout_s: float,
        deaf_s: float,
        stale_s: float | None = None,
        scripts: Sequence[Script] = (),
    ) -> None:
        """`scripts` are loaded at each new connection. `stale_s`: see `CommandConnection`; only where another server
        can take over."""
        self._finder = finder
        self._name = name
        self._scripts = scripts
        self._limits = timeout_s, deaf_s, stale_s
        self._last: CommandConnection | None = None
        self._reconnecting: ReconnectingConnection[CommandConnection] = ReconnectingConnection(
            "commands", self._connect, self._up, self._down
        )
        self._first = asyncio.Event()
        self.on_up: list[Callable[[], None]] = []
        self.on_down: list[Callable[[], None]] = []
        self.on_moved: list[Callable[[float], None]] = []

    @property
    def is_up(self) -> bool:
        """Whether a connection to the primary stands."""
        return self._reconnecting.connection is not None

    def server(self, key: bytes) -> str:
        """Which server process holds a key; empty while there is no connection to it."""
        return self._reconnecting.connection.server if self._reconnecting.connection is not None else ""

    def submit(self, key: bytes, command: bytes, on_reply: OnReply) -> None:
        connection = self._reconnecting.connection
        if connection is None:
            on_reply(StoreUnavailable("no connection to the store"))
        else:
            connection.submit(command, on_reply)

    def drop(self, reason: str) -> None:
        """Gives up the present connection and finds the primary again."""
        self._reconnecting.drop(reason)

    def retry_now(self) -> None:
        """The store answers somebody: without a connection, tries again at once."""
        self._reconnecting.retry_now()

    async def start(self, limit_s: float) -> None:
        """Connects in the background and waits up to `limit_s` for the first connection; does not insist on it."""
        self._reconnecting.start()
        try:
            async with asyncio.timeout(limit_s):
                await self._first.wait()
        except TimeoutError:
            pass

    async def close(self) -> None:
        await self._reconnecting.close()

    async def _connect(self, on_lost: Callable[[], None]) -> CommandConnection:
        endpoint = await self._finder.find()
        connection = await open_connection(
            endpoint,
            lambda: CommandConnection(on_lost, *self._limits),
            self._name,
            self._finder.must_be_primary,
        )
        connection.load_scripts(self._scripts)
        return connection

    def _up(self, connection: CommandConnection) -> None:
        self._first.set()
        last, self._last = self._last, connection
        if last is not None and connection.server != last.server:
            for tell_moved in self.on_moved:
                tell_moved(last.heard_at_s)
        for tell in self.on_up:
            tell()

    def _down(self) -> None:
        for tell in self.on_down:
            tell()
