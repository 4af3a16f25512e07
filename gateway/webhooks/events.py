"""What a webhook is told, made of what a room holds. Functions of values, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import orjson

from gateway.protocol import Position, receive_json
from gateway.state.hook_progress import Occupancy, Unread
from gateway.state.more import Change

GAP_BEGINS = b'{"type":"gap",'


class Event(NamedTuple):
    """One event as JSON, empty where nothing is to be said; the position up to which the room was told with it; and
    the seq of the message whose change it tells."""

    data: bytes
    to: Position | None = None
    changed_seq: int = 0


def message_events(room: str, unread: Unread, since_ms: int) -> list[Event]:
    """The messages that a webhook was not told, oldest first. Before them what was changed of those that it was told,
    and a `gap` where some cannot be read any more. What is older than `since_ms`, when the webhook was not known, is
    passed over unless it was told of the room before."""
    newest, told = unread.newest, unread.told
    if not newest.epoch:
        return []
    if told is None:
        return _first_events(room, unread, since_ms)
    last_lost = Position(newest.epoch, unread.first_seq - 1)
    is_other = told.epoch != newest.epoch or told.seq > newest.seq
    has_lost = is_other or last_lost.seq > told.seq
    before = [] if is_other else _changes(room, unread, told)
    if has_lost or unread.missed is not None:
        to = last_lost if has_lost else told
        before.append(Event(gap_json(room, unread.missed or told, to), to))
    return before + _messages(room, unread, 0)


def known_after(unread: Unread, events: Sequence[Event]) -> dict[int, int]:
    """The changes that a webhook knows once it was told these events: a message that was changed before is told as it
    is now."""
    to = next((event.to for event in reversed(events) if event.to), unread.told)
    told_seq = unread.told.seq if unread.told is not None and to and unread.told.epoch == to.epoch else 0
    told_now = {event.changed_seq for event in events if event.changed_seq}
    known = {}
    for seq, change in unread.changes.items():
        if seq in told_now or (to is not None and told_seq < seq <= to.seq):
            known[seq] = change.at_ms
        elif seq in unread.known:
            known[seq] = unread.known[seq]
    return known


def _changes(room: str, unread: Unread, told: Position) -> list[Event]:
    made = []
    for seq, change in sorted(unread.changes.items()):
        if seq <= told.seq and unread.known.get(seq) != change.at_ms:
            at = Position(told.epoch, seq)
            made.append(Event(changed_json(room, at, change, unread.texts.get(seq, b"")), told, seq))
    return made


def _first_events(room: str, unread: Unread, since_ms: int) -> list[Event]:
    """The same for a webhook that was never told of the room."""
    epoch, seq = unread.newest
    older = 0
    while older < len(unread.entries) and time_of(unread.entries[older]) < since_ms:
        older += 1
    passed = Position(epoch, unread.first_seq - 1 + older)
    is_gap = older == 0 and passed.seq > 0 and unread.newest_ms >= since_ms
    before = [Event(gap_json(room, Position(epoch, 0), passed), passed)] if is_gap else []
    if older or (passed.seq == seq > 0 and not is_gap):
        before = [Event(b"", passed)]
    return before + _messages(room, unread, older)


def _messages(room: str, unread: Unread, begin: int) -> list[Event]:
    room_json, epoch, made = orjson.dumps(room), unread.newest.epoch, []
    for place in range(begin, len(unread.entries)):
        at = Position(epoch, unread.first_seq + place)
        more = unread.more.get(at.seq, b"")
        data = receive_json(unread.entries[place], room_json, at, more)
        made.append(Event(b'{"type":"message",%b' % data[1:], at))
    return made


def time_of(entry: bytes) -> int:
    """The time of an entry (ms since 1970); 0 if it has none."""
    try:
        found = orjson.loads(entry).get("__createdtime__")
    except ValueError:  # half a surrogate pair, which the old service stored
        _, _, found = entry.rpartition(b":")
        found = int(found[:-1]) if found[:-1].strip().isdigit() else 0
    return int(found) if isinstance(found, int | float) else 0


def gap_json(room: str, after: Position, to: Position) -> bytes:
    """Messages after one position, up to another one, were not told and will not be."""
    return orjson.dumps({"type": "gap", "room": room, "from": str(after), "to": str(to)})


def changed_json(room: str, at: Position, change: Change, entry: bytes) -> bytes:
    """A message was edited, or its text was taken away: what it says now."""
    said = {"type": "changed", "room": room, "id": str(at), "kind": change.kind, "message": text_of(entry)}
    return orjson.dumps({**said, "by": change.by, "at": change.at_ms})


def text_of(entry: bytes) -> str:
    """What an entry says; empty where that cannot be read."""
    try:
        found = orjson.loads(entry).get("message")
    except (ValueError, AttributeError):
        return ""
    return found if isinstance(found, str) else ""


def occupancy_json(room: str, found: Occupancy) -> bytes:
    """Somebody is in a room, or nobody is any more."""
    kind = "occupied" if found.is_occupied else "vacated"
    return orjson.dumps({"type": kind, "room": room, "version": found.version})


def member_json(room: str, username: str, is_here: bool, version: int) -> bytes:
    """A user is in a room, or is not any more."""
    kind = "joined" if is_here else "left"
    return orjson.dumps({"type": kind, "room": room, "username": username, "version": version})
