"""The seams between the parts, each as a Protocol, on one screen.

Owns the shapes, no behaviour. A source of events has one listener, which it is given when it starts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

Reply = Any
"""What Redis answered, as hiredis reads it, or a `StoreError`."""

OnReply = Callable[[Reply], None]
Argument = bytes | str | int | float
Listener = Callable[[list[tuple[bytes, bytes]]], None]
"""Takes (channel, payload) of all messages that one read brought."""

Where_co = TypeVar("Where_co", covariant=True)


class Recipient(Protocol):
    """All that a room needs of a socket. `direct_write` takes ready WebSocket frames, `direct_write_deflated` frames
    that may be compressed; each is None where the socket cannot take such frames at this moment."""

    sid: str
    is_behind: bool

    @property
    def direct_write(self) -> Callable[[bytes], None] | None: ...
    @property
    def direct_write_deflated(self) -> Callable[[bytes], None] | None: ...
    def send_text(self, packet: bytes) -> None: ...
    def send_texts(self, packets: Sequence[bytes]) -> None: ...


class SocketEvents(Protocol):
    """Who takes the events of `/` from a socket (a chat session)."""

    def on_event(self, name: Any, arguments: list[Any], ack: int | None) -> Awaitable[None] | None:
        """Handles an event; what it returns must end before the client's next one is handled."""

    def on_behind(self) -> None:
        """The socket holds more unsent bytes than the mark."""

    def on_drained(self) -> None:
        """The socket has room again."""

    def on_transport_changed(self) -> None:
        """The socket's way of writing has changed."""


class ScriptCommand(Protocol):
    """A Lua script as something to run."""

    def command(self, keys: tuple[bytes, ...], *arguments: bytes | str | int) -> bytes: ...


class CommandStore(Protocol):
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
        self, script: ScriptCommand, keys: tuple[bytes, ...], *arguments: bytes | str | int
    ) -> asyncio.Future[Reply]: ...
    def drop(self, reason: str) -> None: ...
    def retry_now(self) -> None: ...
    async def start(self, limit_s: float) -> None: ...
    async def close(self) -> None: ...


class PubSub(Protocol):
    """The channels of Redis, whatever the topology."""

    on_messages: Listener
    on_back: Callable[[], None]
    on_lost: Callable[[list[bytes]], None]
    on_moved: Callable[[float], None]

    @property
    def unhealthy_reason(self) -> str | None:
        """Why this worker does not hear everything, or None."""

    def subscribe(self, channel: bytes) -> asyncio.Future[None]:
        """Subscribes to a channel; the future is done once it is confirmed."""

    def unsubscribe(self, channel: bytes) -> None:
        """Ends a subscription."""

    def server(self, channel: bytes) -> str:
        """Which server process brings a channel; empty while there is none."""

    async def start(self, limit_s: float) -> None:
        """Connects in the background and waits up to `limit_s` to hear; does not insist on it."""

    async def close(self) -> None:
        """Ends listening."""

    def drop(self, reason: str) -> None:
        """Gives up the present connections and finds the servers again."""


class PrimaryFinder(Protocol[Where_co]):
    """Finds the server that takes writes now."""

    must_be_primary: bool

    async def find(self) -> Where_co:
        """The server; raises StoreUnavailable when it cannot be found."""

    async def watch(self, on_moved: Callable[[str], None]) -> None:
        """Calls `on_moved` with the reason whenever another server takes over; ends when that cannot be."""
