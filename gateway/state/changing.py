"""Changes of stored messages: the entry, what is kept of it beside the list, and the word to the room, in one step
(`scripts/change.lua`)."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from gateway import keys
from gateway.errors import Moderated, StoreError
from gateway.interfaces import CommandStore
from gateway.protocol import Position
from gateway.state.scripts import CHANGE

REDACTED, EDITED = "redacted", "edited"


class NotFound(StoreError):
    """There is no such message: it was trimmed, redacted, is of another epoch, or never was there."""


class NotOwn(StoreError):
    """The message is another user's."""


class TooOld(StoreError):
    """The message is older than its sender may change it."""


@dataclass(frozen=True, slots=True)
class TextChange:
    """How a message is to be changed.

    room      where it is
    position  which it is
    kind      REDACTED or EDITED
    message   its text from now on
    by        who does it, as members are told
    own_user  the user whose message it must be; empty where it may be anybody's
    own_s     how old it may be then
    """

    room: str
    position: Position
    kind: str
    message: str
    by: str
    own_user: str = ""
    own_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Channel:
    """How a room is told an event: the verb, its channel, and what stands before and after the data."""

    verb: bytes
    name: bytes
    before: bytes
    after: bytes


async def change_text(store: CommandStore, channel: Channel, change: TextChange) -> int:
    """Changes a message and tells the room; returns when that was (ms). What has been done before is told again. Raises
    NotFound, NotOwn, TooOld, Moderated, or another StoreError."""
    room, position = change.room, change.position
    reply = await store.run(
        CHANGE, (keys.history(room), keys.meta(room)),
        channel.verb, channel.name, channel.before, channel.after, orjson.dumps(room), position.epoch, position.seq,
        change.kind, orjson.dumps(change.message), orjson.dumps(change.by), change.own_user,
        f"{change.own_s * 1000:.0f}",
    )  # fmt: skip
    if reply.isdigit():
        return int(reply)
    if reply.startswith(b"%"):
        raise moderated(reply)
    raise {b"=": NotOwn, b"<": TooOld}.get(reply, NotFound)()


def moderated(reply: bytes) -> Moderated:
    """What a script answers where moderators do not allow it: `%<reason> <until>`."""
    reason, _, until_ms = reply[1:].decode().partition(" ")
    return Moderated(reason, int(until_ms))
