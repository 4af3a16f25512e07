"""Commands to one primary.

Owns the connection for commands. Promises what `CommandConnection` promises; while there is no connection a command is
answered `StoreUnavailable` at once. `cluster/commands.py` has the same surface over many primaries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.errors import StoreUnavailable, Trouble
from gateway.interfaces import Argument, CommandEvents, OnReply, PrimaryFinder, Reply, ScriptCommand
from gateway.metrics import store_reconnects
from gateway.pauses import woken_within
from gateway.redis.address import Endpoint, open_with_scripts
from gateway.redis.connection import CommandConnection, CommandOptions, pack, settle
from gateway.redis.reconnect import ReconnectingConnection
from gateway.redis.server_watch import ServerWatch
from gateway.redis.troubles import trouble_of


def no_connection(failure: StoreUnavailable | None) -> Trouble:
    """That there is no connection, and why the last attempt failed."""
    if failure is None:
        return Trouble("no connection to the store", "waiting helps: it is being opened", is_brief=True)
    trouble = trouble_of(failure)
    return Trouble(f"no connection to the store: {trouble.sentence}", trouble.advice)


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

    def __init__(
        self, finder: PrimaryFinder[Endpoint], watch: ServerWatch, name: str, options: CommandOptions
    ) -> None:
        """`name` is the connection's, as Redis lists it."""
        self._finder = finder
        self._watch = watch
        self._name = name
        self._options = options
        self._reconnecting: ReconnectingConnection[CommandConnection] = ReconnectingConnection(
            "commands", self._connect, self._up, self._down, store_reconnects
        )
        self._first = asyncio.Event()
        self._last: CommandConnection | None = None
        self._events: CommandEvents | None = None

    @property
    def is_up(self) -> bool:
        """Whether a connection to the primary stands."""
        return self._reconnecting.connection is not None

    @property
    def pending(self) -> int:
        """Commands without an answer."""
        return self._reconnecting.connection.pending if self._reconnecting.connection is not None else 0

    @property
    def trouble(self) -> Trouble | None:
        """Why there is no connection to the primary, or None."""
        return None if self.is_up else no_connection(self._reconnecting.failure)

    @property
    def has_slots(self) -> bool:
        """One server holds all keys."""
        return False

    def homes(self, key_of: Callable[[int], bytes]) -> list[int]:
        """One server holds all keys."""
        return [0]

    def server(self, key: bytes) -> str:
        """Which server process holds a key; empty while there is no connection to it."""
        return self._reconnecting.connection.server if self._reconnecting.connection is not None else ""

    @property
    def has_origins(self) -> bool:
        """A server on its own brings its own messages only."""
        return False

    def origin(self, key: bytes) -> str:
        """See `has_origins`."""
        return ""

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
        """The server answers somebody: without a connection, tries again at once."""
        self._reconnecting.retry_now()

    async def start(self, limit_s: float, events: CommandEvents | None = None) -> None:
        """Connects in the background and waits up to `limit_s` for the first connection; does not insist on it."""
        self._events = events
        self._reconnecting.start()
        await woken_within(self._first, limit_s)

    async def close(self) -> None:
        await self._reconnecting.close()

    async def _connect(self, on_lost: Callable[[], None]) -> CommandConnection:
        endpoint = await self._finder.find()
        return await open_with_scripts(
            endpoint,
            lambda: CommandConnection(on_lost, self._options),
            self._name,
            self._finder.must_be_primary,
        )

    def _up(self, connection: CommandConnection) -> None:
        self._first.set()
        last, self._last = self._last, connection
        last_heard_s = last.heard_at_s if last is not None else connection.heard_at_s
        self._watch.connected("commands", connection.server, last_heard_s)
        if self._events is not None:
            self._events.on_commands_up()

    def _down(self) -> None:
        """What was under way has been answered; who submits now is told at once."""
