"""Traces on rooms' channels: a note that says which trace the next message belongs to.

    !traced:00-<trace>-<span>-<flags>:<epoch>:<seq>

The script publishes it directly before its message (`publish.lua`), in the same step: nothing of this room is between
them. It is a payload of its own, because that of a message has no place that workers of before would pass over. They
count a note as malformed, and deliver the message behind it as any other. The history never has it.

Whoever reaches Redis can publish on the channel: what is no note is left out, and raises nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import NamedTuple

from gateway.rooms.payloads import TRACED
from gateway.rooms.room import Room
from gateway.rooms.routes import Route
from gateway.tracing import Delivery, Tracing

WAITING_MAX = 64
"""Notes whose messages have not come yet, in all rooms: one read may end between the two."""

WAITING_S = 1.0
"""After so long what comes is not what the note was about: the connection was away in between."""

_FORM = re.compile(rb"!traced:(00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}):([^:\s]{1,64}:[0-9]{1,18})")


class Note(NamedTuple):
    """Which message is traced, and which span stored it."""

    traceparent: str
    position: str


def note_around(route: Route, room: str, traceparent: bytes) -> tuple[bytes, bytes]:
    """What the script puts before and after the position of a traced message to tell it."""
    before, _, after = route.position(room, f"{(TRACED + traceparent).decode()}:*").partition(b"*")
    return before, after


def parse_note(payload: bytes) -> Note | None:
    """Reads a note; None if it is malformed."""
    found = _FORM.fullmatch(payload)
    try:
        return None if found is None else Note(found[1].decode(), found[2].decode())
    except UnicodeDecodeError:
        return None


class Deliveries:
    """Tells when this worker has handed traced messages to its members."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing
        self._waiting: dict[
            str, tuple[Note, float]
        ] = {}  # by room: its note was the last that a read brought

    def hand_on(self, room: Room, payloads: Sequence[bytes]) -> None:
        """Hands a room what its channel brought, without the notes, and reports each message that one was about."""
        notes = [payload for payload in payloads if payload.startswith(TRACED)]
        if not notes and not self._waiting:
            room.receive(payloads)
            return
        begun_ns = time.time_ns()
        due = self._due(room.name)
        room.receive([payload for payload in payloads if not payload.startswith(TRACED)])
        due += [note for each in notes if (note := parse_note(each)) is not None]
        if due and payloads[-1].startswith(TRACED):
            self._wait(room.name, due.pop())
        for note in due:
            self._report(room, note, begun_ns)

    def _due(self, name: str) -> list[Note]:
        """The note that waits for what comes now."""
        note, at_s = self._waiting.pop(name, (None, 0.0))
        return [note] if note is not None and time.monotonic() - at_s < WAITING_S else []

    def _wait(self, name: str, note: Note) -> None:
        if len(self._waiting) >= WAITING_MAX:
            del self._waiting[next(iter(self._waiting))]
        self._waiting[name] = note, time.monotonic()

    def _report(self, room: Room, note: Note, begun_ns: int) -> None:
        if not room.members:
            return
        epoch, _, seq = note.position.partition(":")
        is_live = room.epoch == epoch and room.seq >= int(seq)
        members = len(room.members)
        self._tracing.delivered(Delivery(note.traceparent, note.position, begun_ns, members, is_live))
