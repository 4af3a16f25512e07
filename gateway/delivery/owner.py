"""Who owns a socket: what the layer above must offer."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Protocol


class Owner(Protocol):
    """Who takes the events of `/` from a socket (a chat session)."""

    def on_event(self, name: Any, arguments: list[Any], ack: int | None) -> Awaitable[None] | None:
        """Handles an event; what it returns must end before the client's next one is handled."""

    def on_behind(self) -> None:
        """The socket holds more unsent bytes than the mark."""

    def on_drained(self) -> None:
        """The socket has room again."""

    def on_carrier(self) -> None:
        """The socket's way of writing has changed."""
