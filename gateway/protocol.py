"""The wire contract: positions, what a client is told, and the words for what went wrong.

Owns the error table, and the form of entries and packets. What a client may say is in `client_events.py`. Does no I/O.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import orjson


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
    """One row of the error table: the sentence a developer reads, whether trying again can help, and the HTTP status
    with which the server API answers it."""

    sentence: str
    is_retryable: bool
    http_status: int = 400


ERRORS: dict[str, ErrorKind] = {
    "bad_request": ErrorKind("The event is not what the gateway understands.", False),
    "too_large": ErrorKind("That is longer than allowed.", False, 413),
    "unauthorized": ErrorKind("Who you are could not be confirmed.", False, 401),
    "forbidden": ErrorKind("You may not do that.", False, 403),
    "not_found": ErrorKind("There is no such thing, or not any more.", False, 404),
    "not_joined": ErrorKind("Join the room first.", True, 409),
    "name_taken_by_system": ErrorKind("That username belongs to the system.", False, 409),
    "name_taken": ErrorKind("Somebody in the room is known by that name, or one like it.", False, 409),
    "room_limit": ErrorKind("This connection is in as many rooms as it may be.", False, 409),
    "room_full": ErrorKind("As many users are in this room as may be.", True, 409),
    "rate_limited": ErrorKind("Too much at once; wait a moment.", True, 429),
    "gap": ErrorKind("Messages were missed and can no longer be read; the last ones follow.", False, 409),
    "unavailable": ErrorKind("The message store does not answer; try again.", True, 503),
    "shutting_down": ErrorKind("This worker is closing; connect again.", True, 503),
    "internal": ErrorKind("The gateway failed; that is its fault, not yours.", False, 500),
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


def receive_json(stored: bytes, room_json: bytes, position: Position, more: bytes = b"") -> bytes:
    """The data of a `receive` event: a readable entry with `room` and `id` spliced in, nothing parsed. `room_json` is
    the room's name as JSON; `more` are further members, behind a comma."""
    return b'%b,"room":%b,"id":"%b"%b}' % (stored[:-1], room_json, str(position).encode(), more)


def notice_json(sentence: str, system_name: str, room_json: bytes, created_ms: int) -> bytes:
    """The data of a `receive` event that announces something and is not stored: it has no `id`."""
    return b'%b,"room":%b}' % (entry(sentence, system_name, created_ms)[:-1], room_json)


def event_packet(name: str, data: bytes) -> bytes:
    """An Engine.IO text packet: MESSAGE, Socket.IO EVENT of `/`, the name, and its data as JSON."""
    return b'42["%b",%b]' % (name.encode(), data)


def acknowledgement_packet(number: int, data: bytes) -> bytes:
    """An Engine.IO text packet: the acknowledgement with that number, its one argument as JSON."""
    return b"43%d[%b]" % (number, data)
