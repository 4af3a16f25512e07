"""Messages and positions as values, read from what the gateway says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Message:
    """One stored message of a room, as it is to be shown now. Text of strangers: show none of it as HTML."""

    id: str
    """Its position, `<epoch>:<seq>`."""
    room: str
    username: str
    text: str
    """Empty once the message was redacted."""
    at_ms: int
    """When it was stored, in milliseconds since 1970. Sort by `id`, not by this."""
    user: str | None = None
    """The sender's id in your application; None of a guest."""
    meta: Mapping[str, Any] | None = None
    """What the sender said beside the text."""
    changed: str | None = None
    """`redacted` or `edited`; None of a message that is as it was sent."""
    changed_at_ms: int = 0
    changed_by: str | None = None


def message_of(data: Mapping[str, Any]) -> Message:
    """Reads the data of a `receive` with an `id`. Raises KeyError, TypeError or AttributeError."""
    change: Mapping[str, Any] = data.get("changed") or {}
    return Message(
        data["id"],
        data["room"],
        data["username"],
        data["message"],
        data.get("__createdtime__", 0),
        data.get("user"),
        data.get("meta"),
        change.get("kind"),
        change.get("at", 0),
        change.get("by"),
    )


def changed_message(message: Message, data: Mapping[str, Any]) -> Message:
    """The message after a `changed`; the same one if it knows a later change."""
    at_ms = data.get("at", 0)
    if at_ms < message.changed_at_ms:
        return message
    return replace(
        message,
        text=data.get("message", ""),
        changed=data.get("kind"),
        changed_at_ms=at_ms,
        changed_by=data.get("by"),
    )


def epoch_and_seq(position: str) -> tuple[str, int]:
    """The two parts of a position; seq is -1 where there is none."""
    epoch, _, seq = position.rpartition(":")
    return (epoch, int(seq)) if seq.isascii() and seq.isdigit() else (position, -1)


def distance(older: str, newer: str) -> int | None:
    """How many messages `newer` is after `older`; None where nobody knows, as they are of two epochs."""
    (epoch, seq), (newer_epoch, newer_seq) = epoch_and_seq(older), epoch_and_seq(newer)
    return newer_seq - seq if epoch == newer_epoch else None
