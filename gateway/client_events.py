"""What a client may say: its events, read from what came.

Owns parsing. Promises that bad input raises `Refusal` and nothing else. Does no I/O.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from gateway.event_fields import position as _position
from gateway.event_fields import room as _room
from gateway.event_fields import small_json
from gateway.event_fields import text as _text
from gateway.event_fields import username as _username
from gateway.moderation_events import MODERATION_EVENTS, MODERATION_PARSERS, ModerationEvent
from gateway.names import look_alike
from gateway.option_groups import Sizes
from gateway.protocol import Position, Refusal
from gateway.talk_events import Read, Signal, Unread, parse_read, parse_signal, parse_unread


@dataclass(frozen=True, slots=True)
class Join:
    """`is_from_connect`: it came with CONNECT, and the event `joined` answers it."""

    username: str
    room: str
    since: Position | None
    is_from_connect: bool = False


@dataclass(frozen=True, slots=True)
class Send:
    """`meta` is a JSON object as it is stored; empty if none was said."""

    username: str | None
    room: str
    message: str
    idempotency_key: str | None
    meta: bytes = b""


@dataclass(frozen=True, slots=True)
class Leave:
    username: str | None
    room: str


@dataclass(frozen=True, slots=True)
class Members:
    room: str


@dataclass(frozen=True, slots=True)
class History:
    room: str
    before: Position | None
    limit: int


@dataclass(frozen=True, slots=True)
class Refresh:
    token: str


Event = Join | Send | Leave | Members | History | Refresh | Signal | Read | Unread | ModerationEvent

EVENTS = ("join", "send", "leave", "members", "history")
"""The events that there are since the beginning."""

ALL_EVENTS = (*EVENTS, "signal", "read", "unread")
"""The events of every client."""

EVENTS_WITH_TOKENS = (*ALL_EVENTS, "refresh", *MODERATION_EVENTS)
"""The same where tokens count."""

META_BYTES_MAX = 1024
"""Longest `meta` of a message, as JSON in UTF-8 (docs/protocol.md)."""

TOKEN_BYTES_MAX = 8192
"""Longest token (the contract of identity, docs/identity.md)."""


class Voice(NamedTuple):
    """Which events a client has, and under which names it may speak.

    fixed_name     the only name that it may join with; None if it chooses
    default_name   the name that it joins with if it says none; None if it must say one
    is_checked     whether it may not join under a name that a user holds who is in the room: where tokens count
    """

    events: tuple[str, ...] = ALL_EVENTS
    fixed_name: str | None = None
    default_name: str | None = None
    is_checked: bool = False


ANYBODY = Voice()


def parse(name: object, arguments: list[Any], sizes: Sizes, voice: Voice = ANYBODY) -> Event:
    """Turns an event's name and arguments into what it asks for; raises Refusal for all that is not understood."""
    if not isinstance(name, str) or name not in voice.events:
        raise Refusal(
            "bad_request", f"Unknown event {str(name)[:64]!r}; known are {', '.join(voice.events)}."
        )
    data = arguments[0] if arguments else None
    if not isinstance(data, dict):
        raise Refusal("bad_request", f"The data of '{name}' must be one JSON object.")
    return _PARSERS[name](data, sizes, voice)


def _parse_join(data: dict[str, Any], sizes: Sizes, voice: Voice) -> Join:
    room, default = _room(data, sizes), voice.default_name
    said = default is None or data.get("username") is not None
    username = _username(data, sizes) if said else default
    assert username is not None
    if voice.fixed_name is not None and username != voice.fixed_name:
        raise Refusal("forbidden", f"Your token names you {voice.fixed_name!r}.", room=room)
    if look_alike(username, sizes.system_name):
        raise Refusal("name_taken_by_system", room=room)
    return Join(username, room, _position(data, "since"))


def _parse_refresh(data: dict[str, Any], sizes: Sizes, voice: Voice) -> Refresh:
    return Refresh(_text(data, "token", TOKEN_BYTES_MAX))


def _parse_send(data: dict[str, Any], sizes: Sizes, voice: Voice) -> Send:
    key = data.get("idempotency_key")
    if key is not None:
        key = _text(data, "idempotency_key", sizes.idempotency_key_max)
    username = data.get("username")
    if username is not None:
        username = _username(data, sizes)
    if voice.fixed_name is not None and username not in (None, voice.fixed_name):
        raise Refusal("forbidden", f"Your token names you {voice.fixed_name!r}.", room=_room(data, sizes))
    text = _text(data, "message", sizes.message_max)
    return Send(username, _room(data, sizes), text, key, _meta(data) if "meta" in data else b"")


def _meta(data: dict[str, Any]) -> bytes:
    """What the application wants beside the text: a small JSON object, as opaque to the gateway as the text is."""
    if data["meta"] is None:
        return b""
    if not isinstance(data["meta"], dict):
        raise Refusal("bad_request", "'meta' must be a JSON object.")
    return small_json(data, "meta", META_BYTES_MAX)


def _parse_leave(data: dict[str, Any], sizes: Sizes, voice: Voice) -> Leave:
    username = None if data.get("username") is None else _username(data, sizes)
    return Leave(username, _room(data, sizes))


def _parse_members(data: dict[str, Any], sizes: Sizes, voice: Voice) -> Members:
    return Members(_room(data, sizes))


def _parse_history(data: dict[str, Any], sizes: Sizes, voice: Voice) -> History:
    limit = data.get("limit", sizes.history_max)
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= sizes.history_max:
        raise Refusal("bad_request", f"'limit' must be a whole number from 1 to {sizes.history_max}.")
    return History(_room(data, sizes), _position(data, "before"), limit)


_PARSERS: dict[str, Callable[[dict[str, Any], Sizes, Voice], Event]] = {
    "join": _parse_join,
    "send": _parse_send,
    "leave": _parse_leave,
    "members": _parse_members,
    "history": _parse_history,
    "refresh": _parse_refresh,
    "signal": parse_signal,
    "read": parse_read,
    "unread": parse_unread,
    **MODERATION_PARSERS,
}
