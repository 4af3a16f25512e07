"""The wire contract: what a client may say, what it is told, and the words for what went wrong.

Owns parsing and the error table. Promises that bad input raises `Refusal` and nothing else. Does no I/O.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from gateway.option_groups import Sizes


class Position(NamedTuple):
    """Place of a stored message in its room: inside an epoch, seq counts 1, 2, 3 … without gaps."""

    epoch: str
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}:{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Reads `<epoch>:<seq>`; raises ValueError for anything else."""
        epoch, colon, seq = text.partition(":")
        if not (epoch and colon and seq.isascii() and seq.isdigit()) or len(text) > 64:
            raise ValueError(f"not a position: {text[:64]!r}")
        return cls(epoch, int(seq))


class ErrorKind(NamedTuple):
    """One row of the error table: the sentence a developer reads, and whether trying again can help."""

    sentence: str
    is_retryable: bool


ERRORS: dict[str, ErrorKind] = {
    "bad_request": ErrorKind("The event is not what the gateway understands.", False),
    "too_large": ErrorKind("That is longer than allowed.", False),
    "unauthorized": ErrorKind("Who you are could not be confirmed.", False),
    "forbidden": ErrorKind("You may not do that.", False),
    "not_joined": ErrorKind("Join the room first.", True),
    "name_taken_by_system": ErrorKind("That username belongs to the system.", False),
    "room_limit": ErrorKind("This connection is in as many rooms as it may be.", False),
    "rate_limited": ErrorKind("Too much at once; wait a moment.", True),
    "gap": ErrorKind("Messages were missed and can no longer be read; the last ones follow.", False),
    "unavailable": ErrorKind("The message store does not answer; try again.", True),
    "shutting_down": ErrorKind("This worker is closing; connect again.", True),
    "internal": ErrorKind("The gateway failed; that is its fault, not yours.", False),
}


class Refusal(Exception):
    """What a client asked for is refused; `code` is a key of `ERRORS`."""

    def __init__(self, code: str, sentence: str | None = None, **about: Any) -> None:
        self.code = code
        self.sentence = sentence or ERRORS[code].sentence
        self.about = {name: value for name, value in about.items() if value is not None}
        super().__init__(self.sentence)

    def as_error(self, **about: Any) -> dict[str, Any]:
        """The data of an `error` event: message, code, retryable, and what is known of its cause."""
        known = {name: value for name, value in about.items() if value is not None}
        return {**self._core(), **known, **self.about}

    def as_acknowledgement(self) -> dict[str, Any]:
        """The same for the acknowledgement of the event that was refused."""
        return {"ok": False, **self._core(), **self.about}

    def _core(self) -> dict[str, Any]:
        return {"message": self.sentence, "code": self.code, "retryable": ERRORS[self.code].is_retryable}


@dataclass(frozen=True, slots=True)
class Join:
    username: str
    room: str
    since: Position | None


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


Event = Join | Send | Leave | Members | History


def parse(name: object, arguments: list[Any], sizes: Sizes) -> Event:
    """Turns an event's name and arguments into what it asks for; raises Refusal for all that is not understood."""
    parser = _PARSERS.get(name) if isinstance(name, str) else None
    if parser is None:
        raise Refusal("bad_request", f"Unknown event {str(name)[:64]!r}; known are {', '.join(_PARSERS)}.")
    data = arguments[0] if arguments else None
    if not isinstance(data, dict):
        raise Refusal("bad_request", f"The data of '{name}' must be one JSON object.")
    return parser(data, sizes)


def _parse_join(data: dict[str, Any], sizes: Sizes) -> Join:
    room, username = _room(data, sizes), _username(data, sizes)
    if username == sizes.system_name:
        raise Refusal("name_taken_by_system", room=room)
    return Join(username, room, _position(data, "since"))


def _parse_send(data: dict[str, Any], sizes: Sizes) -> Send:
    key = data.get("idempotency_key")
    if key is not None:
        key = _text(data, "idempotency_key", sizes.idempotency_key_max)
    username = data.get("username")
    if username is not None:
        username = _username(data, sizes)
    return Send(username, _room(data, sizes), _text(data, "message", sizes.message_max), key)


def _parse_leave(data: dict[str, Any], sizes: Sizes) -> Leave:
    username = None if data.get("username") is None else _username(data, sizes)
    return Leave(username, _room(data, sizes))


def _parse_members(data: dict[str, Any], sizes: Sizes) -> Members:
    return Members(_room(data, sizes))


def _parse_history(data: dict[str, Any], sizes: Sizes) -> History:
    limit = data.get("limit", sizes.history_max)
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= sizes.history_max:
        raise Refusal("bad_request", f"'limit' must be a whole number from 1 to {sizes.history_max}.")
    return History(_room(data, sizes), _position(data, "before"), limit)


_PARSERS: dict[str, Callable[[dict[str, Any], Sizes], Event]] = {
    "join": _parse_join,
    "send": _parse_send,
    "leave": _parse_leave,
    "members": _parse_members,
    "history": _parse_history,
}
EVENTS = tuple(_PARSERS)


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
    room = _text(data, "room", sizes.room_max)
    if not room.isprintable() and any(_is_control(letter) for letter in room):
        raise Refusal("bad_request", "'room' must not contain control characters.")
    if "{" in room or "}" in room:
        raise Refusal("bad_request", "'room' must not contain '{' or '}'.")
    return room


def _username(data: dict[str, Any], sizes: Sizes) -> str:
    username = _text(data, "username", sizes.username_max)
    if not username.isprintable() and any(_is_control(letter) for letter in username):
        raise Refusal("bad_request", "'username' must not contain control characters.")
    return username


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


def entry_head(message: str, username: str) -> bytes:
    """The stored form of a message up to its time, which the store gives it (`whole_entry`)."""
    return orjson.dumps({"message": message, "username": username})[:-1] + b',"__createdtime__":'


def whole_entry(head: bytes, created_ms: bytes) -> bytes:
    """The stored form of a message: the old service's JSON of three fields, in its order."""
    return b"%b%b}" % (head, created_ms)


def entry(message: str, username: str, created_ms: int) -> bytes:
    """The same at once, for what is not stored."""
    return whole_entry(entry_head(message, username), b"%d" % created_ms)


EMPTY_ENTRY = b'{"message":"","username":"","__createdtime__":0}'
"""What is shown in the place of an entry that nobody can read."""


def readable_entry(stored: bytes) -> bytes:
    """An entry as it was found in a history, without spaces around it. One that is no JSON object, or an empty one,
    was written by somebody else's hand: it becomes an empty message rather than a broken packet."""
    stored = stored.strip()
    return stored if stored.startswith(b"{") and is_json(stored) and stored[1:-1].strip() else EMPTY_ENTRY


def is_json(data: bytes) -> bool:
    """Whether a client can read this as JSON."""
    try:
        orjson.loads(data)
    except ValueError:
        return b"\\u" in data and _is_json_with_half_pairs(data)
    return True


def _is_json_with_half_pairs(data: bytes) -> bool:
    """JSON with half a surrogate pair written as `\\ud83d`, which the old service stored and browsers read."""
    try:
        json.loads(data.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return False
    return True


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def receive_json(stored: bytes, room_json: bytes, position: Position) -> bytes:
    """The data of a `receive` event: a readable entry with `room` and `id` spliced in, nothing parsed. `room_json` is
    the room's name as JSON."""
    return b'%b,"room":%b,"id":"%b"}' % (stored[:-1], room_json, str(position).encode())


def notice_json(sentence: str, system_name: str, room_json: bytes, created_ms: int) -> bytes:
    """The data of a `receive` event that announces something and is not stored: it has no `id`."""
    return b'%b,"room":%b}' % (entry(sentence, system_name, created_ms)[:-1], room_json)


def event_packet(name: str, data: bytes) -> bytes:
    """An Engine.IO text packet: MESSAGE, Socket.IO EVENT of `/`, the name, and its data as JSON."""
    return b'42["%b",%b]' % (name.encode(), data)


def acknowledgement_packet(number: int, data: bytes) -> bytes:
    """An Engine.IO text packet: the acknowledgement with that number, its one argument as JSON."""
    return b"43%d[%b]" % (number, data)
