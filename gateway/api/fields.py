"""The fields of the server API's requests: what each may be, read by hand and checked.

Owns the kinds of values and their limits. A request is a frozen dataclass whose fields say their kind and meaning, as
options do: the parser, the documentation and OpenAPI's check read the same rows. Promises that bad input raises
`Refusal` and nothing else. Does no I/O.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from gateway import event_fields
from gateway.moderation_events import FOR_S_MAX, REASON_MAX, SLOW_S_MAX
from gateway.names import look_alike
from gateway.option_groups import Sizes
from gateway.protocol import Position, Refusal
from gateway.transport.proxies import network_of

USER_MAX = 128
"""Longest id of a user and of a token (the contract of identity, docs/identity.md)."""
META_BYTES_MAX = 1024
"""Longest `meta` of a message, and `data` of a signal, as JSON in UTF-8."""
KIND_MAX = 32
"""Longest kind of a signal."""
ROOMS_MAX = 1000
"""Rooms of one `broadcast`, and of one page of `rooms`."""
COMMANDS_MAX = 100
"""Commands of one `batch`."""
CODE_MAX = 64
"""Longest code that a client is told when it is disconnected."""
WIDEST = {4: 8, 6: 16}
"""The shortest prefix of a network that may be banned, by version: a wider one is most likely a slip."""
UNTIL_MAX_S = 253_402_300_799
"""The last second of the year 9999."""

Read = Callable[[dict[str, Any], str, Sizes], Any]


class Kind(NamedTuple):
    """What a value may be.

    read       takes the request, the field's name and the sizes; returns the value
    json_type  its type in JSON
    allowed    its limits, in words; a name in capitals is the option that sets one
    """

    read: Read
    json_type: str
    allowed: str


class Field(NamedTuple):
    """One field of a request, for its parser and for whoever documents it."""

    name: str
    kind: Kind
    is_needed: bool
    meaning: str


def needed(kind: Kind, meaning: str) -> Any:
    """A field of a request that must be there."""
    return dataclasses.field(metadata={"field": (kind, True, meaning)})


def given(kind: Kind, meaning: str, otherwise: Any = None) -> Any:
    """A field that may be left out, or be null: it is `otherwise` then."""
    return dataclasses.field(default=otherwise, metadata={"field": (kind, False, meaning)})


@lru_cache(256)
def fields_of(request: type) -> tuple[Field, ...]:
    """The fields of a request, in their order."""
    return tuple(_fields(request))


def _fields(request: Any) -> Iterator[Field]:
    for each in dataclasses.fields(request):
        if (described := each.metadata.get("field")) is not None:
            yield Field(each.name, *described)


def parse(request: type, data: object, sizes: Sizes) -> Any:
    """A request from what came; raises Refusal for all that is not understood, a field that it has not among it."""
    if not isinstance(data, dict):
        raise Refusal("bad_request", "The request must be one JSON object.")
    values, rows = {}, fields_of(request)
    for name, kind, is_needed, _ in rows:
        if data.get(name) is not None:
            values[name] = kind.read(data, name, sizes)
        elif is_needed:
            raise Refusal("bad_request", f"'{name}' is missing.")
    if len(data) > len(values):
        _refuse_unknown(data, [field.name for field in rows])
    return request(**values)


def _refuse_unknown(data: Mapping[str, Any], known: list[str]) -> None:
    for name in data:
        if name not in known:
            told = ", ".join(known) or "none"
            raise Refusal("bad_request", f"There is no field {name[:64]!r} here; known are {told}.")


# -- how each kind is read


def text_of(most: int) -> Read:
    """A text of 1 to `most` characters that all can be printed."""

    def read(data: dict[str, Any], field: str, sizes: Sizes) -> str:
        found = event_fields.text(data, field, most)
        if not found.isprintable():
            raise Refusal("bad_request", f"'{field}' must not contain control characters.")
        return found

    return read


def whole(low: int, high: int) -> Read:
    """A whole number."""

    def read(data: dict[str, Any], field: str, sizes: Sizes) -> int:
        value = data[field]
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise Refusal("bad_request", f"'{field}' must be a whole number from {low} to {high}.")
        return value

    return read


def _history_limit(data: dict[str, Any], field: str, sizes: Sizes) -> int:
    found: int = whole(1, sizes.history_max)(data, field, sizes)
    return found


def _switch(data: dict[str, Any], field: str, sizes: Sizes) -> bool:
    if not isinstance(data[field], bool):
        raise Refusal("bad_request", f"'{field}' must be true or false.")
    return bool(data[field])


def _seconds(data: dict[str, Any], field: str, sizes: Sizes) -> float:
    value = data[field]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value <= UNTIL_MAX_S:
        raise Refusal("bad_request", f"'{field}' must be a time in seconds since 1970.")
    return float(value)


def _duration(low_s: float, high_s: float) -> Read:
    """A time in seconds."""

    def read(data: dict[str, Any], field: str, sizes: Sizes) -> float:
        value = data[field]
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not low_s <= value <= high_s:
            raise Refusal("bad_request", f"'{field}' must be a number from {low_s:g} to {high_s:g}.")
        return float(value)

    return read


def _room(data: dict[str, Any], field: str, sizes: Sizes) -> str:
    return event_fields.room(data, sizes)


def _rooms(data: dict[str, Any], field: str, sizes: Sizes) -> tuple[str, ...]:
    rooms = _list(data, field, ROOMS_MAX, "rooms")
    names = tuple(event_fields.room({"room": room}, sizes) for room in rooms)
    if len(set(names)) < len(names):
        raise Refusal("bad_request", f"'{field}' names a room twice.")
    return names


def _commands(data: dict[str, Any], field: str, sizes: Sizes) -> tuple[Any, ...]:
    return tuple(_list(data, field, COMMANDS_MAX, "commands"))


def _list(data: dict[str, Any], field: str, most: int, what: str) -> list[Any]:
    value = data[field]
    if not isinstance(value, list) or not value:
        raise Refusal("bad_request", f"'{field}' must be a list of {what}.")
    if len(value) > most:
        raise Refusal("too_large", f"'{field}' has {len(value)} {what}; {most} are allowed.")
    return value


def _message(data: dict[str, Any], field: str, sizes: Sizes) -> str:
    return event_fields.text(data, field, sizes.message_max)


def _username(data: dict[str, Any], field: str, sizes: Sizes) -> str:
    """Any that a person may have, or the system's own name; none that only looks like that one."""
    name = event_fields.username(data, sizes)
    if name != sizes.system_name and look_alike(name, sizes.system_name):
        raise Refusal("name_taken_by_system")
    return name


def _key(data: dict[str, Any], field: str, sizes: Sizes) -> str:
    return event_fields.text(data, field, sizes.idempotency_key_max)


def _prefix(data: dict[str, Any], field: str, sizes: Sizes) -> str:
    return event_fields.text(data, field, sizes.room_max)


def _position(data: dict[str, Any], field: str, sizes: Sizes) -> Position:
    found = event_fields.position(data, field)
    assert found is not None  # it is there: the parser has looked
    return found


def _object(data: dict[str, Any], field: str, sizes: Sizes) -> bytes:
    if not isinstance(data[field], dict):
        raise Refusal("bad_request", f"'{field}' must be a JSON object.")
    return event_fields.small_json(data, field, META_BYTES_MAX)


def _json(data: dict[str, Any], field: str, sizes: Sizes) -> bytes:
    return event_fields.small_json(data, field, META_BYTES_MAX)


def _network(data: dict[str, Any], field: str, sizes: Sizes) -> str:
    text = event_fields.text(data, field, 64)
    try:
        found = network_of(text)
    except ValueError:
        sentence = f"'{field}' must be an address, or a network such as 203.0.113.0/24."
        raise Refusal("bad_request", sentence) from None
    if found.prefixlen < WIDEST[found.version]:
        raise Refusal("bad_request", f"/{WIDEST[found.version]} is the widest network of IPv{found.version}.")
    return str(found)


ROOM = Kind(_room, "string", "1 to GATEWAY_ROOM_NAME_MAX characters")
ROOMS = Kind(_rooms, "array", f"1 to {ROOMS_MAX:,} names of rooms, each once")
PREFIX = Kind(_prefix, "string", "1 to GATEWAY_ROOM_NAME_MAX characters")
MESSAGE = Kind(_message, "string", "1 to GATEWAY_MESSAGE_MAX characters")
USERNAME = Kind(_username, "string", "1 to GATEWAY_USERNAME_MAX characters; may be the system's name")
USER = Kind(text_of(USER_MAX), "string", f"1 to {USER_MAX} characters")
TOKEN_ID = USER
META = Kind(_object, "object", f"an object of up to {META_BYTES_MAX:,} bytes as JSON")
DATA = Kind(_json, "any", f"any JSON of up to {META_BYTES_MAX:,} bytes")
KIND = Kind(text_of(KIND_MAX), "string", f"1 to {KIND_MAX} characters")
KEY = Kind(_key, "string", "1 to 128 characters")
POSITION = Kind(_position, "string", "the `id` of a message")
HISTORY_LIMIT = Kind(_history_limit, "integer", "1 to GATEWAY_HISTORY_MESSAGES")
ROOMS_LIMIT = Kind(whole(1, ROOMS_MAX), "integer", f"1 to {ROOMS_MAX:,}")
SWITCH = Kind(_switch, "boolean", "true or false")
UNTIL = Kind(_seconds, "number", "seconds since 1970")
NETWORK = Kind(_network, "string", "an address, or a network of up to /8 (IPv6: /16)")
CODE = Kind(text_of(CODE_MAX), "string", f"1 to {CODE_MAX} characters")
FOR_S = Kind(_duration(1, FOR_S_MAX), "number", f"1 to {FOR_S_MAX:,} s")
KICK_S = Kind(_duration(0, FOR_S_MAX), "number", f"0 to {FOR_S_MAX:,} s")
SLOW_S = Kind(_duration(0, SLOW_S_MAX), "number", f"0 to {SLOW_S_MAX:,} s")
REASON = Kind(text_of(REASON_MAX), "string", f"1 to {REASON_MAX} characters")
COMMANDS = Kind(_commands, "array", f"1 to {COMMANDS_MAX} commands")
