"""What the methods of the server API answer, as values. A field that a newer gateway adds is left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Published:
    """A message has its place in the room."""

    id: str
    """Its position, as members get it."""
    duplicate: bool
    """Whether it had been stored before, by a call with the same idempotency key."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of a broadcast in one room."""

    room: str
    id: str | None
    """The message's position; None if it was refused there."""
    code: str | None
    """Why it was refused there; None if it was stored."""


@dataclass(frozen=True, slots=True)
class History:
    """Messages of a room, oldest first."""

    messages: list[dict[str, Any]]
    """Each as members get it: message, username, __createdtime__, room, id, and user and meta where it has them."""
    id: str | None
    """The room's position; None for a room that is not there."""
    recovered: bool | None
    """With `after`: whether nothing is missing after it."""


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who has shown a token."""

    user: str
    """The id in your application."""
    username: str


@dataclass(frozen=True, slots=True)
class Members:
    """Who is in a room."""

    names: list[str]
    """Up to 200 usernames."""
    count: int
    """How many users there are."""
    users: list[User]
    """Who of them has shown a token."""


@dataclass(frozen=True, slots=True)
class RoomFacts:
    """Where a room is, and who is there."""

    room: str
    id: str | None
    """Its position; None for a room in which nothing was said."""
    count: int
    """How many users are in it."""
    workers: list[str]
    """The workers that have sessions there."""


@dataclass(frozen=True, slots=True)
class RoomCount:
    """A room in which somebody is."""

    room: str
    count: int


@dataclass(frozen=True, slots=True)
class RoomPage:
    """Rooms in the order of their names."""

    rooms: list[RoomCount]
    cursor: str | None
    """For the next page; None after the last one."""


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker that lives."""

    worker: str
    state: str
    connections: int | None
    rooms: int | None


@dataclass(frozen=True, slots=True)
class Stats:
    """All workers together."""

    connections: int
    rooms: int
    workers: list[Worker]


@dataclass(frozen=True, slots=True)
class Changed:
    """A message has another text, or none."""

    at_ms: int
    """Since when, in milliseconds since 1970."""


@dataclass(frozen=True, slots=True)
class Moderated:
    """What was decided about somebody in a room, or about the room."""

    sessions: int
    """How many sessions it is about."""
    until_ms: int | None
    """Until when it stands, in milliseconds since 1970; None where nothing stands any more."""
