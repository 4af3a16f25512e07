"""What the engine is told (times, sizes, whom to trust), and what its sockets need of it."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What the engine needs to know; seconds and bytes as named."""

    worker: str = ""
    ping_interval_s: float = 25.0
    ping_timeout_s: float = 20.0
    connect_timeout_s: float | None = 10.0
    max_payload_bytes: int = 65_536
    outbound_max_bytes: int = 1_048_576
    outbound_mark_bytes: int = 262_144
    stuck_s: float = 30.0
    compression: bool = False
    origins: tuple[str, ...] = ("*",)
    trusted_proxies: tuple[str, ...] = ()


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
