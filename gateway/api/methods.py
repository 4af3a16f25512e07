"""The method table of the server API: the one place that says which methods there are.

A method is a row and an async function. The row names what it takes (`requests.py`), the scope that a key needs, how it
names rooms, and which errors it may answer beside those that every method may. To add one: its dataclass, its function,
its row.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any, NamedTuple

from gateway.access.api_keys import ADMIN, MODERATE, PUBLISH, READ
from gateway.api import batches, moderating, moderation_requests, people, publishing, reading, requests
from gateway.api.parts import Caller, Parts, Result

Run = Callable[[Parts, Caller, Any], Awaitable[Result]]


class Rooms(Enum):
    """How a method names rooms, and so which rooms its key must be for."""

    ONE = "the room that the request names; all rooms where it names none"
    EACH = "each room by itself: what the key is not for is left out, or refused alone"
    NONE = "all rooms: what the method does is about no single one"


class Method(NamedTuple):
    """One method.

    name     the last part of its path
    request  the dataclass of its fields; its docstring says what the method does
    scope    which a key must have; empty for any key
    rooms    how it names rooms
    run      what it does
    answers  its answer, in words: the fields of the object
    errors   codes of the error table that it may answer beside `COMMON_ERRORS`
    """

    name: str
    request: type
    scope: str
    rooms: Rooms
    run: Run
    answers: str
    errors: tuple[str, ...] = ()


COMMON_ERRORS = (
    "bad_request",
    "too_large",
    "unauthorized",
    "forbidden",
    "rate_limited",
    "unavailable",
    "internal",
)
"""What every method may answer."""

_ROWS = (
    Method("publish", requests.Publish, PUBLISH, Rooms.ONE, publishing.publish, "id, duplicate",
           ("name_taken_by_system",)),
    Method("broadcast", requests.Broadcast, PUBLISH, Rooms.EACH, publishing.broadcast,
           "results: for each room, in order, {room, id} or {room, code}", ("name_taken_by_system",)),
    Method("signal", requests.Signal, PUBLISH, Rooms.ONE, publishing.signal, ""),
    Method("history", requests.History, READ, Rooms.ONE, reading.history,
           "messages, oldest first; id, the room's position or null; with after: recovered"),
    Method("members", requests.OneRoom, READ, Rooms.ONE, reading.members,
           "members, up to 200 names; count; users with a token: {user, username}"),
    Method("room", requests.OneRoom, READ, Rooms.ONE, reading.room,
           "room; id, its position or null; count of users; workers, their ids"),
    Method("rooms", requests.Rooms, READ, Rooms.EACH, reading.rooms,
           "rooms: {room, count}; cursor of the next page, null after the last"),
    Method("stats", requests.Nothing, READ, Rooms.NONE, reading.stats,
           "connections; rooms; workers: {worker, state, connections, rooms}"),
    Method("disconnect", requests.Disconnect, ADMIN, Rooms.NONE, people.disconnect, ""),
    Method("revoke", requests.Revoke, ADMIN, Rooms.NONE, people.revoke, ""),
    Method("ban", requests.Ban, ADMIN, Rooms.NONE, people.ban, ""),
    Method("unban", requests.Unban, ADMIN, Rooms.NONE, people.unban, ""),
    *(Method(request.__name__.lower(), request, MODERATE, Rooms.ONE, run, answers, errors)
      for request, run, answers, errors in (
        (moderation_requests.Redact, moderating.redact, "at, when that was (ms)", ("not_found",)),
        (moderation_requests.Edit, moderating.edit, "at, when that was (ms)", ("not_found",)),
        (moderation_requests.Kick, moderating.kick, "sessions; until, when the user may come back (ms)", ()),
        (moderation_requests.Mute, moderating.mute, "sessions of the user in the room; until (ms)", ()),
        (moderation_requests.Unmute, moderating.unmute, "sessions of the user in the room", ()),
        (moderation_requests.Slow, moderating.slow, "sessions in the room; until (ms)", ()),
        (moderation_requests.Close, moderating.close, "sessions that were in the room; until (ms)", ()),
        (moderation_requests.Reopen, moderating.reopen, "sessions, which is 0", ()),
    )),
    Method("batch", requests.Batch, "", Rooms.EACH, batches.batch,
           "results: for each command, in order, its answer or {code, message, retryable}"),
)  # fmt: skip

METHODS = {row.name: row for row in _ROWS}
"""All methods, by name, in the order of the documentation."""
