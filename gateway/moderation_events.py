"""What a moderator may say: events that need the grant `moderate` in the room, and `edit`, which a message's own sender
may say too where the room's rule allows it.

Owns parsing. Promises that bad input raises `Refusal` and nothing else. Does no I/O.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from gateway import event_fields as fields
from gateway.option_groups import Sizes
from gateway.protocol import Position, Refusal

FOR_S_MAX = 3650 * 86_400
"""Longest time that something is decided for: ten years."""

SLOW_S_MAX = 86_400
"""Longest time between two messages of one user, as in a room's rule."""

USER_MAX = 128
"""Longest id of a user, as in tokens."""

REASON_MAX = 128
"""Longest reason that a moderator may give."""


class Target(NamedTuple):
    """Whom it is about: a user, or where that is empty, the guests of a name."""

    user: str
    username: str


@dataclass(frozen=True, slots=True)
class Redact:
    room: str
    id: Position


@dataclass(frozen=True, slots=True)
class Edit:
    room: str
    id: Position
    message: str


@dataclass(frozen=True, slots=True)
class Kick:
    room: str
    target: Target
    for_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class Mute:
    """Without `for_s` until it is taken back."""

    room: str
    target: Target
    for_s: float | None


@dataclass(frozen=True, slots=True)
class Unmute:
    room: str
    target: Target


@dataclass(frozen=True, slots=True)
class Slow:
    """Without `seconds` the room's rule counts again."""

    room: str
    seconds: float | None
    for_s: float | None


@dataclass(frozen=True, slots=True)
class Close:
    """Without `for_s` until it is opened again."""

    room: str
    for_s: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Reopen:
    room: str


ModerationEvent = Redact | Edit | Kick | Mute | Unmute | Slow | Close | Reopen

MODERATION_EVENTS = ("redact", "edit", "kick", "mute", "unmute", "slow", "close", "reopen")


def _redact(data: dict[str, Any], sizes: Sizes, voice: object) -> Redact:
    return Redact(fields.room(data, sizes), _id(data))


def _edit(data: dict[str, Any], sizes: Sizes, voice: object) -> Edit:
    return Edit(fields.room(data, sizes), _id(data), fields.text(data, "message", sizes.message_max))


def _kick(data: dict[str, Any], sizes: Sizes, voice: object) -> Kick:
    for_s = _seconds(data, "for_s", FOR_S_MAX)
    return Kick(fields.room(data, sizes), _target(data, sizes), for_s or 0.0, _reason(data))


def _mute(data: dict[str, Any], sizes: Sizes, voice: object) -> Mute:
    return Mute(fields.room(data, sizes), _target(data, sizes), _for_s(data))


def _unmute(data: dict[str, Any], sizes: Sizes, voice: object) -> Unmute:
    return Unmute(fields.room(data, sizes), _target(data, sizes))


def _slow(data: dict[str, Any], sizes: Sizes, voice: object) -> Slow:
    seconds = _seconds(data, "seconds", SLOW_S_MAX)
    return Slow(fields.room(data, sizes), seconds, _for_s(data))


def _close(data: dict[str, Any], sizes: Sizes, voice: object) -> Close:
    return Close(fields.room(data, sizes), _for_s(data), _reason(data))


def _reopen(data: dict[str, Any], sizes: Sizes, voice: object) -> Reopen:
    return Reopen(fields.room(data, sizes))


MODERATION_PARSERS: dict[str, Callable[[dict[str, Any], Sizes, object], ModerationEvent]] = {
    "redact": _redact,
    "edit": _edit,
    "kick": _kick,
    "mute": _mute,
    "unmute": _unmute,
    "slow": _slow,
    "close": _close,
    "reopen": _reopen,
}


def _id(data: dict[str, Any]) -> Position:
    position = fields.position(data, "id")
    if position is None:
        raise Refusal("bad_request", "'id' must be the 'id' of a message, as '<epoch>:<seq>'.")
    return position


def _target(data: dict[str, Any], sizes: Sizes) -> Target:
    """Exactly one of `user` and `username`."""
    user, username = data.get("user"), data.get("username")
    if (user is None) == (username is None):
        raise Refusal("bad_request", "Say whom it is about: 'user', or for a guest 'username'.")
    if username is None:
        return Target(fields.text(data, "user", USER_MAX), "")
    return Target("", fields.username(data, sizes))


def _for_s(data: dict[str, Any]) -> float | None:
    """A time that is longer than nothing."""
    seconds = _seconds(data, "for_s", FOR_S_MAX)
    if seconds is not None and seconds < 1:
        raise Refusal("bad_request", "'for_s' must be at least 1.")
    return seconds


def _seconds(data: dict[str, Any], field: str, most: int) -> float | None:
    value = data.get(field)
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= most:
        raise Refusal("bad_request", f"'{field}' must be a number of seconds from 0 to {most}.")
    return float(value)


def _reason(data: dict[str, Any]) -> str:
    if data.get("reason") is None:
        return ""
    reason = fields.text(data, "reason", REASON_MAX)
    if any(fields.is_control(letter) for letter in reason):
        raise Refusal("bad_request", "'reason' must not contain control characters.")
    return reason
