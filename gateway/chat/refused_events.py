"""What an `error` repeats of the event that was refused, so that a client knows which it was."""

from __future__ import annotations

from typing import Any

from gateway.client_events import EVENTS_WITH_TOKENS

REPEATED_MAX = 128
"""Longest text of a refused event that its `error` repeats: as long as a room's name and an idempotency key may be."""


def about(event: Any) -> dict[str, Any]:
    """What an `error` repeats of an event that was understood."""
    fields = ("room", "idempotency_key")
    return {field: getattr(event, field) for field in fields if hasattr(event, field)}


def known(name: Any, arguments: list[Any]) -> dict[str, Any]:
    """What an `error` may repeat of an event that was refused: only what is short and can be shown."""
    found: dict[str, Any] = {"event": name if isinstance(name, str) and name in EVENTS_WITH_TOKENS else None}
    data = arguments[0] if arguments else None
    if isinstance(data, dict):
        for field in ("room", "idempotency_key"):
            value = data.get(field)
            if isinstance(value, str) and len(value) <= REPEATED_MAX and value.isprintable():
                found[field] = value
    return found
