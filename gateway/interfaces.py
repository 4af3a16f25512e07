"""The seams between the parts, each as a Protocol, in one place.

Owns the shapes, no behaviour. A source of events has one listener, which it is given when it starts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

from aiohttp import web

from gateway.errors import Trouble

Reply = Any
"""What Redis answered, as hiredis reads it, or a `StoreError`."""

OnReply = Callable[[Reply], None]
Argument = bytes | str | int | float
Listener = Callable[[list[tuple[bytes, bytes]]], None]
"""Takes (channel, payload) of all messages that one read brought."""

Where_co = TypeVar("Where_co", covariant=True)
WebSocket_contra = TypeVar("WebSocket_contra", contravariant=True)


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

    def on_connected(self, data: Any) -> Awaitable[None] | None:
        """CONNECT was answered; `data` came with it. What it returns must end before the client's first event is
        handled."""

    def on_event(self, name: Any, arguments: list[Any], ack: int | None) -> Awaitable[None] | None:
        """Handles an event; what it returns must end before the client's next one is handled."""

    def on_behind(self) -> None:
        """The socket holds more unsent bytes than the mark."""

    def on_drained(self) -> None:
        """The socket has room again."""

    def on_transport_changed(self) -> None:
        """The socket's way of writing has changed."""


class WebSocketEvents(Protocol[WebSocket_contra]):
    """Who takes what happens on a WebSocket (its session); one listener may serve many WebSockets."""

    def on_message(self, websocket: WebSocket_contra, opcode: int, data: bytes) -> Awaitable[None] | None:
        """A text or binary message came; what it returns must end before the next one is handed in."""

    def on_lost(self, websocket: WebSocket_contra) -> None:
        """The connection is gone; nothing else follows."""

    def on_behind(self, websocket: WebSocket_contra) -> None:
        """The WebSocket holds more unsent bytes than the mark."""

    def on_drained(self, websocket: WebSocket_contra) -> None:
        """The WebSocket has room again."""

    def on_close_sent(self, websocket: WebSocket_contra) -> None:
        """The close frame was sent: the connection must be aborted if the peer does not answer it soon."""


class OutboundLimits(Protocol):
    """How many unsent bytes a session may hold: over the mark it is behind, over the maximum it is ended."""

    @property
    def outbound_mark_bytes(self) -> int: ...
    @property
    def outbound_max_bytes(self) -> int: ...


class Deadlines(Protocol):
    """The heartbeats and time-outs that a session or its WebSocket asks for."""

    def answered(self, socket: Any) -> None: ...
    def watch_stuck(self, socket: Any) -> float: ...
    def linger(self, item: Any) -> None: ...


class Engine(Protocol):
    """All that a session needs of its engine."""

    @property
    def options(self) -> OutboundLimits: ...
    @property
    def times(self) -> Deadlines: ...
    def message_up(self, socket: Any, data: str | bytes) -> Awaitable[None]: ...
    def ended(self, socket: Any, reason: str) -> None: ...


class HandshakeGate(Protocol):
    """Who may begin a session on this worker, and where a request goes that is another worker's."""

    async def admit(self, request: web.Request) -> web.StreamResponse | None:
        """Returns None once a new session may begin, else the answer that refuses it."""

    async def pass_on(self, request: web.Request, sid: str | None) -> bool:
        """Passes a request to the worker of the session `sid`; without `sid`, a refused handshake to a worker that
        may take it. Returns False, with the request untouched, if there is no such worker."""


class SessionEvents(Protocol):
    """Who counts the sessions of the engine."""

    def opened(self, sid: str, address: str | None) -> None:
        """A session has begun, of a client with that address; None where nobody who is trusted says one."""

    def ended(self, sid: str) -> None:
        """A session is over."""


class ClientSocket(Recipient, Protocol):
    """All that a chat session needs of a socket: what a room needs, and to be the listener of its events."""

    events: SocketEvents | None

    @property
    def unsent_bytes(self) -> int: ...

    def charge_refusal(self) -> None:
        """An event of the client was refused, and through its own fault; too many of them end it."""

    def stop_reading(self) -> None:
        """Takes nothing more from the client."""

    def end(self, reason: str) -> None:
        """Ends the connection after what was written; stock clients come back by themselves."""


class RedisEvents(Protocol):
    """Redis → hub."""

    def on_messages(self, messages: list[tuple[bytes, bytes]]) -> None:
        """Takes (channel, payload) of all messages that one read brought, in order."""

    def on_channels_lost(self, channels: list[bytes]) -> None:
        """The connection that brought these channels is gone."""

    def on_failover(self, last_heard_s: float) -> None:
        """A connection leads to another server than before, which was last heard at that monotonic time."""

    def on_restored(self, channels: Sequence[bytes] | None = None) -> None:
        """Commands, or these channels (None: all), are back after they were away."""


class HubEvents(Protocol):
    """Hub → chat and python-socketio."""

    def on_room_closed(self, name: str) -> None:
        """This worker has no sessions in the room any more."""

    def on_foreign_message(self, channel: bytes, payload: bytes) -> None:
        """A channel brought what is no room's."""

    def on_restored(self) -> None:
        """Redis is back; every room is being repaired."""


class PresenceEvents(Protocol):
    """Presence → webhooks: users came or went, on whatever worker they were."""

    def on_presence(self, room: str, username: str, is_here: bool, count: int) -> None:
        """A user came, or the last session of one is gone; so many users are there now."""


class ChatRooms(Protocol):
    """python-socketio's channel → chat: other processes change who is in a room."""

    async def take_out(self, sid: str, room: str) -> None:
        """A session must leave a chat room; does nothing if it is in none of that name."""


class SubscriberEvents(Protocol):
    """One connection for subscriptions → the topology's PubSub."""

    def on_subscriber_up(self) -> None:
        """It is connected; nothing is subscribed yet."""

    def on_subscribed(self) -> None:
        """Everything that is wanted is confirmed, for the first time on this connection."""

    def on_subscription_ended(self, channel: bytes) -> None:
        """Redis ended a subscription that is still wanted."""

    def on_subscriber_lost(self) -> None:
        """The connection is gone."""

    def on_unresponsive(self) -> None:
        """Probes had no echo; the connection has been dropped."""

    def probe(self) -> None:
        """Publishes something that the connection must hear."""


class CommandEvents(Protocol):
    """Commands → channels."""

    def on_commands_up(self) -> None:
        """A connection for commands stands."""

    def on_slots_moved(self) -> None:
        """Other servers of a Cluster hold other slots than before."""


class ScriptCommand(Protocol):
    """A Lua script as something to run."""

    def command(self, keys: tuple[bytes, ...], *arguments: bytes | str | int) -> bytes: ...


class CommandStore(Protocol):
    """Commands by key, whatever the topology."""

    @property
    def is_up(self) -> bool: ...
    @property
    def trouble(self) -> Trouble | None:
        """Why commands do not reach Redis, or None."""

    @property
    def has_slots(self) -> bool:
        """Whether the keys of one script must lie in one slot."""

    def homes(self, key_of: Callable[[int], bytes]) -> list[int]:
        """Numbers whose keys together lie on every server that takes writes."""

    def server(self, key: bytes) -> str: ...
    @property
    def has_origins(self) -> bool:
        """Whether one server's messages are heard at others, so that each must say where it comes from."""

    def origin(self, key: bytes) -> str:
        """What the messages of the server that holds a key say they come from; empty where they say nothing."""

    def submit(self, key: bytes, command: bytes, on_reply: OnReply) -> None: ...
    def call(self, key: bytes, *arguments: Argument) -> asyncio.Future[Reply]: ...
    def run(
        self, script: ScriptCommand, keys: tuple[bytes, ...], *arguments: bytes | str | int
    ) -> asyncio.Future[Reply]: ...
    def drop(self, reason: str) -> None: ...
    def retry_now(self) -> None: ...
    async def start(self, limit_s: float, events: CommandEvents | None = None) -> None: ...
    async def close(self) -> None: ...


class PubSub(CommandEvents, Protocol):
    """The channels of Redis, whatever the topology."""

    @property
    def unhealthy_reason(self) -> str | None:
        """Why this worker does not hear everything, or None."""

    def subscribe(self, channel: bytes) -> asyncio.Future[None]:
        """Subscribes to a channel; the future is done once it is confirmed."""

    def unsubscribe(self, channel: bytes) -> None:
        """Ends a subscription."""

    def server(self, channel: bytes) -> str:
        """Which server process brings a channel; empty while there is none."""

    async def start(self, limit_s: float, events: RedisEvents) -> None:
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
        """Calls `on_moved` with the reason whenever another server takes over; ended by cancellation."""
