"""What the engine is told: times, sizes, whom to trust."""

from __future__ import annotations

from dataclasses import dataclass


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
