"""The fields of what a client says, each read and checked.

Owns what a room, a name, a text and a position may be. Promises that bad input raises `Refusal` and nothing else.
Does no I/O.
"""

from __future__ import annotations

import sys
from typing import Any

import orjson

from gateway.names import DECOMPOSED_MOST, is_visible, normal_form
from gateway.option_groups import Sizes
from gateway.protocol import Position, Refusal

_FIRST_HALF, _LAST_HALF = chr(0xD800), chr(0xDFFF)
"""Between them are the halves of surrogate pairs; mypyc does not take them as literals."""


def _name(data: dict[str, Any], field: str, most: int) -> str:
    """A name in its one spelling. Nearly always it is in it, and this is read with every message."""
    value = data.get(field)
    if isinstance(value, str) and value.isascii() and value.isprintable() and not value.isspace():
        return text(data, field, most)
    return _spelt_name(data, field, most)


def _spelt_name(data: dict[str, Any], field: str, most: int) -> str:
    """The same for what has to be looked at. The length counts in the one spelling. What is much longer is refused
    unspelt: spelling takes a time that grows with the square of the length."""
    name = text(data, field, sys.maxsize)
    if len(name) > most * DECOMPOSED_MOST or len(name := normal_form(name)) > most:
        raise Refusal("too_large", f"'{field}' has {len(name)} characters; {most} are allowed.")
    if not name.isprintable() and any(is_control(letter) for letter in name):
        raise Refusal("bad_request", f"'{field}' must not contain control characters.")
    if not is_visible(name):
        raise Refusal("bad_request", f"'{field}' must hold something that can be seen.")
    return name


def text(data: dict[str, Any], field: str, most: int) -> str:
    """A text of 1 to `most` characters."""
    value = data.get(field)
    if not isinstance(value, str):
        raise Refusal("bad_request", f"'{field}' must be a string.")
    if not value:
        raise Refusal("bad_request", f"'{field}' must not be empty.")
    if len(value) > most:
        raise Refusal("too_large", f"'{field}' has {len(value)} characters; {most} are allowed.")
    if not value.isascii() and any(_FIRST_HALF <= letter <= _LAST_HALF for letter in value):
        raise Refusal("bad_request", f"'{field}' holds half a surrogate pair, which is no character.")
    return value


def room(data: dict[str, Any], sizes: Sizes) -> str:
    """The name of a room, in its one spelling."""
    found = _name(data, "room", sizes.room_max)
    if "{" in found or "}" in found:
        raise Refusal("bad_request", "'room' must not contain '{' or '}'.")
    return found


def username(data: dict[str, Any], sizes: Sizes) -> str:
    """The name of who is in a room, in its one spelling."""
    return _name(data, "username", sizes.username_max)


def is_control(letter: str) -> bool:
    """Whether a character is a control character."""
    return letter < " " or "\x7f" <= letter <= "\x9f"


def position(data: dict[str, Any], field: str) -> Position | None:
    """The place of a message; None where it is left out."""
    written = data.get(field)
    if written is None:
        return None
    try:
        if not isinstance(written, str):
            raise ValueError("not a string")
        return Position.parse(written)
    except ValueError as wrong:
        raise Refusal(
            "bad_request", f"'{field}' must be the 'id' of a message, as '<epoch>:<seq>'."
        ) from wrong


def small_json(data: dict[str, Any], field: str, most_bytes: int) -> bytes:
    """A value as compact JSON in UTF-8, of up to `most_bytes`. Its numbers, and how deep it is nested, are what JSON
    readers in general understand."""
    try:
        written = orjson.dumps(data[field])
    except orjson.JSONEncodeError as wrong:
        raise Refusal("bad_request", f"'{field}' must be JSON: {wrong}."[:200]) from wrong
    if len(written) > most_bytes:
        raise Refusal("too_large", f"'{field}' has {len(written)} bytes as JSON; {most_bytes} are allowed.")
    return written
