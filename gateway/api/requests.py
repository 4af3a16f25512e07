"""What each method of the server API takes: one frozen dataclass a method.

Owns the fields, with their kinds and meanings; `fields.py` reads them. A field without a value is None.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.api.fields import (
    CODE,
    COMMANDS,
    DATA,
    HISTORY_LIMIT,
    KEY,
    KIND,
    MESSAGE,
    META,
    NETWORK,
    POSITION,
    PREFIX,
    ROOM,
    ROOMS,
    ROOMS_LIMIT,
    ROOMS_MAX,
    SWITCH,
    TOKEN_ID,
    UNTIL,
    USER,
    USERNAME,
    given,
    needed,
)
from gateway.protocol import Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What is said, in whichever room."""

    message: str = needed(MESSAGE, "The text.")
    username: str | None = given(USERNAME, "Under which name it is said; the system's if it is left out.")
    user: str | None = given(USER, "The id of the user who says it.")
    meta: bytes | None = given(META, "What goes with the message, for the pages that show it.")
    idempotency_key: str | None = given(
        KEY,
        "The same key again gets the first answer, and stores nothing; the header `Idempotency-Key` says it too.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish(Said):
    """Stores a message in a room, and tells the room."""

    room: str = needed(ROOM, "Where it is said.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Broadcast(Said):
    """Stores a message in each of many rooms."""

    rooms: tuple[str, ...] = needed(ROOMS, "Where it is said.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """Tells a room, or all sessions of a user, something that is not stored; at most once."""

    room: str | None = given(ROOM, "The room that is told; or `user`.")
    user: str | None = given(USER, "The user who is told, in all sessions; or `room`.")
    kind: str = needed(KIND, "What it is, such as `typing`; kinds of the server begin with `_`.")
    data: bytes | None = given(DATA, "What goes with it.")


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The last messages of a room, oldest first."""

    room: str = needed(ROOM, "Which room.")
    before: Position | None = given(POSITION, "Only messages before this one.")  # noqa: RUF009 -- a field
    after: Position | None = given(POSITION, "Only messages after this one, the next ones first.")  # noqa: RUF009
    limit: int | None = given(HISTORY_LIMIT, "How many at most; as many as are kept if it is left out.")


@dataclass(frozen=True, slots=True, kw_only=True)
class OneRoom:
    """What is asked of one room."""

    room: str = needed(ROOM, "Which room.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """The rooms in which somebody is, in the order of their names."""

    prefix: str | None = given(PREFIX, "Only rooms whose names begin so.")
    cursor: str | None = given(PREFIX, "The `cursor` of the page before.")
    limit: int = given(ROOMS_LIMIT, "How many at most.", ROOMS_MAX)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """A request without fields."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnect:
    """Ends all sessions of a user, on all workers."""

    user: str = needed(USER, "Whose sessions.")
    reconnect: bool = given(SWITCH, "Whether stock clients may come back by themselves.", False)
    code: str | None = given(CODE, "The reason that clients are told; `disconnected` if it is left out.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoke:
    """Revokes all tokens that a user has now, or one token."""

    user: str | None = given(USER, "Whose tokens; or `jti`.")
    jti: str | None = given(TOKEN_ID, "Which token; or `user`.")
    until: float | None = given(UNTIL, "When the token of this `jti` ends by itself.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ban:
    """Keeps a user, or a network, out."""

    user: str | None = given(USER, "Who; or `ip`.")
    ip: str | None = given(NETWORK, "Which address or network; or `user`.")
    until: float | None = given(UNTIL, "When it is over; never if it is left out.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unban:
    """Takes a ban back."""

    user: str | None = given(USER, "Who; or `ip`.")
    ip: str | None = given(NETWORK, "Which address or network; or `user`.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Several commands in one request; each is an object with `method` and that method's fields."""

    commands: tuple[Any, ...] = needed(COMMANDS, "What to do; the rooms of all of them are at most 1,000.")
    parallel: bool = given(SWITCH, "Whether they may be done all at once, in any order.", False)
