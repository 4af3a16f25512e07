"""What a worker's process has once: its log, the names of its keys, and whether it may use io_uring."""

from __future__ import annotations

from gateway import io_uring, keys
from gateway.server import logs
from gateway.settings import Settings


def configure(settings: Settings) -> None:
    """Sets all of it, before anything else of a worker is made."""
    logs.configure(settings.log)
    keys.use_prefix(settings.redis.prefix, settings.redis.is_prefix_historys_too)
    io_uring.allow(settings.engine.io_uring)
