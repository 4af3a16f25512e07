"""What the methods of moderation take, as `requests.py` has it for the others."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.api.fields import (
    FOR_S,
    KICK_S,
    MESSAGE,
    POSITION,
    REASON,
    ROOM,
    SLOW_S,
    USER,
    USERNAME,
    given,
    needed,
)
from gateway.protocol import Position


@dataclass(frozen=True, slots=True, kw_only=True)
class InRoom:
    """What is done in a room."""

    room: str = needed(ROOM, "Which room.")
    by: str | None = given(
        USER, "Who does it, as members and the log are told; the key's name if it is left out."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Redact(InRoom):
    """Takes the text and the `meta` of a message away; its place, its sender and its time stay."""

    id: Position = needed(POSITION, "Which message.")  # noqa: RUF009 -- a field


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit(Redact):
    """Gives a message another text."""

    message: str = needed(MESSAGE, "The text from now on.")


@dataclass(frozen=True, slots=True, kw_only=True)
class AboutSomebody(InRoom):
    """What is done about a user in a room."""

    user: str | None = given(USER, "The id of the user; or `username`.")
    username: str | None = given(USERNAME, "The name of a guest; or `user`.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kick(AboutSomebody):
    """Takes all sessions of a user out of a room, on all workers."""

    for_s: float | None = given(KICK_S, "How long the user may not come back; not at all if it is left out.")
    reason: str | None = given(REASON, "What the user is told.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mute(AboutSomebody):
    """Keeps a user from speaking in a room."""

    for_s: float | None = given(FOR_S, "For how long; until it is taken back if it is left out.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmute(AboutSomebody):
    """Lets a user speak again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow(InRoom):
    """Sets the least time between two messages of one user, in place of the room's rule."""

    seconds: float | None = given(SLOW_S, "That time; the rule's counts again if it is left out.")
    for_s: float | None = given(FOR_S, "For how long; until it is taken back if it is left out.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Close(InRoom):
    """Takes everybody out of a room, and lets nobody in."""

    for_s: float | None = given(FOR_S, "For how long; until it is opened again if it is left out.")
    reason: str | None = given(REASON, "What members are told.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reopen(InRoom):
    """Opens a closed room again."""
