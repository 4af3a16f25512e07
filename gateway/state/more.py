"""What is known of stored messages beside their three fields: who sent them, what the application said of them, and how
they were changed afterwards.

Owns how it is stored: a JSON object for each message that has any of it, as `publish.lua` and `change.lua` write it.
Functions of values; anybody who reaches Redis can write such an object, so what is none is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson

More = Mapping[int, bytes]
"""By seq: the members of the JSON object behind a comma, as a message's JSON holds them behind its `id`."""

NO_MORE: More = MappingProxyType({})

BYTES_MAX = 8_192
"""Longest object that is shown: `meta` has at most 1 KiB, and a name 128 characters of at most 6 bytes."""


class Change(NamedTuple):
    """How a message was changed after it was sent.

    kind   `redacted` or `edited`
    by     who did it
    at_ms  when (Unix time by Redis' clock); of two changes of one message the later has the higher one
    """

    kind: str
    by: str
    at_ms: int


def more_of(fields: Sequence[bytes], oldest_seq: int) -> More:
    """What a snapshot brings: seq, object, seq, object …; of entries that it shows."""
    if not fields:
        return NO_MORE
    found = {}
    for name, value in zip(fields[::2], fields[1::2], strict=True):
        if name.isdigit() and (seq := int(name)) >= oldest_seq and (members := _members(value)):
            found[seq] = members
    return found


def _members(value: bytes) -> bytes:
    """The members of an object, behind a comma; empty for what is none."""
    try:
        is_object = len(value) <= BYTES_MAX and isinstance(orjson.loads(value), dict)
    except orjson.JSONDecodeError:
        is_object = False
    members = value.strip()[1:-1].strip() if is_object else b""
    return b"," + members if members else b""


def changes_of(more: More) -> Mapping[int, Change]:
    """How entries were changed, by seq."""
    found = {}
    for seq, members in more.items():
        if b'"changed"' in members and (change := _change(members)) is not None:
            found[seq] = change
    return found


def _change(members: bytes) -> Change | None:
    said: Any = orjson.loads(b"{" + members[1:] + b"}").get("changed")
    return change_from(said) if isinstance(said, dict) else None


def change_from(said: Mapping[str, Any]) -> Change | None:
    """A change as JSON says it: `kind`, `by` and `at`. None if it is not one."""
    kind, by, at_ms = (said.get(name) for name in ("kind", "by", "at"))
    if isinstance(kind, str) and isinstance(by, str) and isinstance(at_ms, int):
        return Change(kind, by, at_ms)
    return None
