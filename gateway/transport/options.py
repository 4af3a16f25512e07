"""What sockets need of their engine."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Protocol

from gateway.settings import EngineOptions


class Deadlines(Protocol):
    """The heartbeats and time-outs that a socket or its WebSocket asks for."""

    def schedule_ping(self, socket: Any) -> None: ...
    def watch_stuck(self, socket: Any) -> float: ...
    def linger(self, item: Any) -> None: ...


class Engine(Protocol):
    """All that a socket needs of its server."""

    options: EngineOptions

    @property
    def times(self) -> Deadlines: ...
    def expects_attachment(self, sid: str) -> bool: ...
    def message_up(self, socket: Any, data: str | bytes) -> Awaitable[None]: ...
    def ended(self, socket: Any, reason: str) -> None: ...
