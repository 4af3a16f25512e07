"""Every option: its unit, its default, its check. The only reader of the environment.

An option is read from the variable in its metadata (`GATEWAY_` and its name unless another one is usual).
A bad value raises `SettingsError` with the variable's name and what is allowed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from gateway.protocol import Sizes


class SettingsError(ValueError):
    """An option has a value that is not allowed; the text names the option and what is."""


_Reader = Callable[[str], Any]


def _option(default: Any, read: _Reader, allowed: str, variable: str | None = None) -> Any:
    return field(default=default, metadata={"read": read, "allowed": allowed, "variable": variable})


def _whole(low: int, high: int, default: int, variable: str | None = None) -> Any:
    def read(text: str) -> int:
        number = int(text)
        if not low <= number <= high:
            raise ValueError(text)
        return number

    return _option(default, read, f"a whole number from {low} to {high}", variable)


def _seconds(low: float, high: float, default: float) -> Any:
    def read(text: str) -> float:
        number = float(text)
        if not low <= number <= high:
            raise ValueError(text)
        return number

    return _option(default, read, f"seconds from {low:g} to {high:g}")


def _choice(default: str, *choices: str, variable: str | None = None) -> Any:
    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(text)
        return text

    return _option(default, read, f"one of {', '.join(choices)}", variable)


def _switch(default: bool) -> Any:
    words = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}
    return _option(default, lambda text: words[text.lower()], "on or off")


def _words(default: tuple[str, ...], allowed: str) -> Any:
    return _option(
        default, lambda text: tuple(word.strip() for word in text.split(",") if word.strip()), allowed
    )


def _redis_url(text: str) -> str:
    schemes = (
        "redis://",
        "rediss://",
        "unix://",
        "valkey://",
        "valkeys://",
        "redis+sentinel://",
        "redis+cluster://",
    )
    if not text.startswith(schemes):
        raise ValueError(text)
    return text


def _name(text: str) -> str:
    if not 1 <= len(text) <= 64:
        raise ValueError(text)
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All options of one gateway, checked. `_s` is seconds, `_bytes` bytes; the rest are counts or words."""

    host: str = _option("0.0.0.0", str, "an address to listen on")
    port: int = _whole(0, 65535, 8006, "PORT")
    workers: int = _whole(1, 1024, os.cpu_count() or 1, "WEB_CONCURRENCY")
    redis_url: str | None = _option(
        None, _redis_url, "a URL that begins with redis://, rediss://, unix://, valkey://, "
        "redis+sentinel:// or redis+cluster://", "REDIS_URL",
    )  # fmt: skip
    state_dir: str | None = _option(None, str, "a folder for the embedded Valkey")
    embedded_port: int = _whole(0, 65535, 0)
    run_dir: str | None = _option(None, str, "a private folder for the workers' Unix sockets")

    route: str = _choice("auto", "auto", "per-room", "shared", "cluster")
    publish_wait_replicas: int = _whole(0, 16, 0)
    redis_timeout_s: float = _seconds(0.1, 60, 2.0)

    system_name: str = _option("ChatBot", _name, "1 to 64 characters")
    room_name_max: int = _whole(1, 1024, 128)
    username_max: int = _whole(1, 1024, 64)
    message_max: int = _whole(1, 1_000_000, 4096)
    rooms_per_connection: int = _whole(1, 100_000, 100)
    history_messages: int = _whole(1, 100, 100)
    history_ttl_s: int = _whole(1, 10 * 365 * 86_400, 30 * 86_400)
    position_ttl_s: int = _whole(1, 10 * 365 * 86_400, 60 * 86_400)
    idempotency_ttl_s: int = _whole(1, 30 * 86_400, 300)
    notices_users_max: int = _whole(0, 1_000_000, 200)
    grace_s: float = _seconds(0, 3600, 10.0)

    frame_max_bytes: int = _whole(1024, 64 * 1024 * 1024, 65_536)
    outbound_max_bytes: int = _whole(4096, 1024 * 1024 * 1024, 1_048_576)
    outbound_mark_bytes: int = _whole(1024, 1024 * 1024 * 1024, 262_144)
    stuck_s: float = _seconds(0.1, 3600, 30.0)
    ping_interval_s: float = _seconds(0.05, 3600, 25.0)
    ping_timeout_s: float = _seconds(0.05, 3600, 20.0)
    connect_timeout_s: float = _seconds(0.05, 3600, 10.0)
    compression: bool = _switch(False)
    origins: tuple[str, ...] = _words(("*",), "origins divided by commas, or *")
    trusted_proxies: tuple[str, ...] = _words((), "addresses or networks divided by commas, or *")

    loop: str = _choice("auto", "auto", "asyncio", "uvloop")
    drain_s: float = _seconds(0, 3600, 20.0)
    handshakes_per_s: int = _whole(0, 1_000_000, 2000)
    heartbeat_s: float = _seconds(0.1, 60, 3.0)
    worker_dead_s: float = _seconds(1, 600, 15.0)
    probe_s: float = _seconds(0.1, 60, 2.0)
    deaf_s: float = _seconds(0.2, 120, 5.0)

    log_format: str = _choice("auto", "auto", "console", "json")
    log_level: str = _choice("info", "debug", "info", "warning", "error")

    def __post_init__(self) -> None:
        if self.outbound_mark_bytes > self.outbound_max_bytes:
            raise SettingsError("GATEWAY_OUTBOUND_MARK_BYTES must not be above GATEWAY_OUTBOUND_MAX_BYTES")
        if self.probe_s >= self.deaf_s:
            raise SettingsError("GATEWAY_PROBE_S must be below GATEWAY_DEAF_S")
        if self.route == "cluster" and self.redis_url and "+cluster" not in self.redis_url:
            raise SettingsError("GATEWAY_ROUTE=cluster needs a REDIS_URL that begins with redis+cluster://")

    @property
    def sizes(self) -> Sizes:
        """The limits that parsing needs."""
        return Sizes(
            room_max=self.room_name_max,
            username_max=self.username_max,
            message_max=self.message_max,
            history_max=self.history_messages,
            system_name=self.system_name,
        )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None, **given: Any) -> Settings:
        """Reads the environment (the process's own if none is given); `given` options win over it."""
        environment = os.environ if environment is None else environment
        found: dict[str, Any] = {}
        for option in fields(cls):
            variable = variable_of(option.name)
            text = environment.get(variable, "")
            if given.get(option.name) is not None:
                found[option.name] = given[option.name]
            elif text:
                found[option.name] = _read(
                    option.metadata["read"], text, variable, option.metadata["allowed"]
                )
        return cls(**found)


def variable_of(option: str) -> str:
    """The environment variable that sets an option."""
    metadata = next(each.metadata for each in fields(Settings) if each.name == option)
    return str(metadata["variable"] or f"GATEWAY_{option.upper()}")


def _read(read: _Reader, text: str, variable: str, allowed: str) -> Any:
    try:
        return read(text)
    except (ValueError, KeyError) as wrong:
        shown = re.sub("//.*@", "//…@", text)  # a URL's user and password must not reach a log
        raise SettingsError(f"{variable}={shown!r} is not allowed: {allowed}") from wrong
