"""What python-engineio and python-socketio ask of a session, in terms of its state and four methods.

Owns the libraries' names (`closed`, `upgraded`, `session`, …), so that the session itself has one state and not a
boolean for each of them. Decides nothing.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable
from enum import Enum, auto
from typing import Any

from engineio import AsyncServer
from engineio.async_socket import AsyncSocket

from gateway.websocket.close_codes import NORMAL
from gateway.websocket.frames import BINARY, TEXT

Reason = AsyncServer.reason

CLOSE, PING, NOOP = b"1", b"2", b"6"
"""Engine.IO packets that have no data."""


class SocketState(Enum):
    """Where a session is between its handshake and its end."""

    OPENING = auto()
    """The handshake is being answered; what is sent waits."""
    POLLING = auto()
    """What is sent waits for the client's next poll."""
    UPGRADING = auto()
    """A WebSocket has sent its probe: what is sent waits for the end of the upgrade, and polls get NOOP."""
    WEBSOCKET = auto()
    """What is sent leaves over the WebSocket at once."""
    CLOSED = auto()
    """The session has ended; over polling, its last packets can still be fetched for a while."""


class LibrarySocket(AsyncSocket):  # type: ignore[misc]
    """The libraries' surface of a session."""

    __slots__ = ("_session", "state")

    state: SocketState
    _session: dict[str, Any] | None
    """What `session` returns, once somebody asked for it."""

    @abstractmethod
    def send_text(self, packet: bytes) -> None: ...
    @abstractmethod
    def send_binary(self, data: bytes) -> None: ...
    @abstractmethod
    def received(self, opcode: int, data: bytes) -> Awaitable[None] | None: ...
    @abstractmethod
    def end(self, reason: str, packet: bytes | None = CLOSE, code: int = NORMAL) -> None: ...

    @property
    def session(self) -> dict[str, Any]:
        """python-socketio's per-client dictionary, made when it is first asked for."""
        if self._session is None:
            self._session = {}
        return self._session

    @session.setter
    def session(self, value: dict[str, Any]) -> None:
        self._session = value

    @property
    def closed(self) -> bool:
        """Whether the session has ended."""
        return self.state is SocketState.CLOSED

    closing = closed

    @property
    def connected(self) -> bool:
        """Whether the session has not ended."""
        return self.state is not SocketState.CLOSED

    @property
    def upgraded(self) -> bool:
        """Whether a WebSocket carries the session."""
        return self.state is SocketState.WEBSOCKET

    @property
    def upgrading(self) -> bool:
        """Whether polling has stopped and the WebSocket does not carry the session yet."""
        return self.state is SocketState.UPGRADING

    async def send(self, pkt: Any) -> None:
        """What python-socketio sends arrives here, as a python-engineio packet."""
        encoded = pkt.encode()
        if isinstance(encoded, str):
            self.send_text(encoded.encode())
        else:
            self.send_binary(bytes(encoded))

    async def receive(self, pkt: Any) -> None:
        """A packet that python-engineio has decoded is handled like one from the wire."""
        opcode, data = (BINARY, pkt.data) if pkt.binary else (TEXT, pkt.encode().encode())
        waits = self.received(opcode, data)
        if waits is not None:
            await waits

    async def close(self, wait: bool = True, abort: bool = False, reason: str | None = None) -> None:
        """python-engineio's way to end a session."""
        self.end(reason or Reason.SERVER_DISCONNECT, packet=None if abort else CLOSE)

    async def check_ping_timeout(self) -> bool:
        """python-engineio asks this before it sends; here the heartbeats end a session whose pong is late."""
        return self.state is not SocketState.CLOSED
