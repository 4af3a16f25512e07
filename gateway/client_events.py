"""What a client may say: its events, read from what came.

Owns parsing. Promises that bad input raises `Refusal` and nothing else. Does no I/O.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from gateway.names import DECOMPOSED_MOST, is_visible, look_alike, normal_form
from gateway.option_groups import Sizes
from gateway.protocol import Position, Refusal


@dataclass(frozen=True, slots=True)
class Join:
    """`is_from_connect`: it came with CONNECT, and the event `joined` answers it."""

    username: str
    room: str
    since: Position | None
    is_from_connect: bool = False


@dataclass(frozen=True, slots=True)
class Send:
    username: str | None
    room: str
    message: str
    idempotency_key: str | None


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


Event = Join | Send | Leave | Members | History | Refresh

EVENTS = ("join", "send", "leave", "members", "history")
"""The events of every client."""

EVENTS_WITH_TOKENS = (*EVENTS, "refresh")
"""The same where tokens count."""

TOKEN_BYTES_MAX = 8192
"""Longest token (the contract of identity, docs/identity.md)."""


class Voice(NamedTuple):
    """Which events a client has, and under which names it may speak.

    fixed_name     the only name that it may join with; None if it chooses
    default_name   the name that it joins with if it says none; None if it must say one
    is_checked     whether it may not join under a name that a user holds who is in the room: where tokens count
    """

    events: tuple[str, ...] = EVENTS
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
    return Send(username, _room(data, sizes), _text(data, "message", sizes.message_max), key)


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
}


def _name(data: dict[str, Any], field: str, most: int) -> str:
    """A name in its one spelling. Nearly always it is in it, and this is read with every message."""
    value = data.get(field)
    if isinstance(value, str) and value.isascii() and value.isprintable() and not value.isspace():
        return _text(data, field, most)
    return _spelt_name(data, field, most)


def _spelt_name(data: dict[str, Any], field: str, most: int) -> str:
    """The same for what has to be looked at. The length counts in the one spelling. What is much longer is refused
    unspelt: spelling takes a time that grows with the square of the length."""
    name = _text(data, field, sys.maxsize)
    if len(name) > most * DECOMPOSED_MOST or len(name := normal_form(name)) > most:
        raise Refusal("too_large", f"'{field}' has {len(name)} characters; {most} are allowed.")
    if not name.isprintable() and any(_is_control(letter) for letter in name):
        raise Refusal("bad_request", f"'{field}' must not contain control characters.")
    if not is_visible(name):
        raise Refusal("bad_request", f"'{field}' must hold something that can be seen.")
    return name


def _text(data: dict[str, Any], field: str, most: int) -> str:
    value = data.get(field)
    if not isinstance(value, str):
        raise Refusal("bad_request", f"'{field}' must be a string.")
    if not value:
        raise Refusal("bad_request", f"'{field}' must not be empty.")
    if len(value) > most:
        raise Refusal("too_large", f"'{field}' has {len(value)} characters; {most} are allowed.")
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise Refusal("bad_request", f"'{field}' holds half a surrogate pair, which is no character.")
    return value


def _room(data: dict[str, Any], sizes: Sizes) -> str:
    room = _name(data, "room", sizes.room_max)
    if "{" in room or "}" in room:
        raise Refusal("bad_request", "'room' must not contain '{' or '}'.")
    return room


def _username(data: dict[str, Any], sizes: Sizes) -> str:
    return _name(data, "username", sizes.username_max)


def _is_control(letter: str) -> bool:
    return letter < " " or "\x7f" <= letter <= "\x9f"


def _position(data: dict[str, Any], field: str) -> Position | None:
    text = data.get(field)
    if text is None:
        return None
    try:
        if not isinstance(text, str):
            raise ValueError("not a string")
        return Position.parse(text)
    except ValueError as wrong:
        raise Refusal(
            "bad_request", f"'{field}' must be the 'id' of a message, as '<epoch>:<seq>'."
        ) from wrong
