"""How far users have read in rooms, over all workers and devices.

Owns one hash a room, user → position. A mark only moves forward inside its epoch, and never beyond the room's newest
message. Since positions are dense, what is unread is a subtraction. Example: the room is at `e1:12` and Ada's mark is
`e1:9`: three messages. After the room began epoch `e2`, nobody can say how many of those before were kept: unknown,
until she marks a message of `e2`.

A room keeps marks of `USERS_MAX` users, for as long as its position is kept after the last mark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from gateway import keys
from gateway.errors import StoreError
from gateway.interfaces import CommandStore, Reply
from gateway.protocol import Position
from gateway.state.batches import all_replies
from gateway.state.keeping import RoomKeeping
from gateway.state.scripts import MARK_READ, UNREAD

USERS_MAX = 10_000
"""Users of one room whose marks are kept."""


class Marking(IntEnum):
    """What became of a mark, as the script answers it."""

    STORED = 1
    BEHIND = 0
    ANOTHER_EPOCH = -1
    TOO_MANY_USERS = -2


class Marked(NamedTuple):
    """What became of a mark, and how many messages are unread behind it; None where that is not known."""

    marking: Marking
    unread: int | None


@dataclass(frozen=True, slots=True)
class RoomRead:
    """Where a room is, and what a user has read of it.

    position  of its newest message; None where it has none yet
    mark      what the user marked last; None if nothing is known of it
    unread    messages behind the mark, or all that there were without one; None where that is not known
    """

    position: Position | None
    mark: Position | None
    unread: int | None


class ReadMarks:
    """Marks, and what is unread; calls raise a StoreError when the store does not do it."""

    def __init__(self, store: CommandStore, keeping: RoomKeeping) -> None:
        self._store = store
        self._kept = keeping

    async def mark(self, room: str, user: str, position: Position) -> Marked:
        """A user has read a room up to a position."""
        names = (keys.meta(room), keys.read(room))
        ttl_s = self._kept.keeping(room).position_ttl_s
        reply = await self._store.run(MARK_READ, names, user, position.epoch, position.seq, ttl_s, USERS_MAX)
        marking = Marking(reply[0])
        return Marked(marking, None if marking is Marking.ANOTHER_EPOCH else reply[1])

    async def unread(self, rooms: Sequence[str], user: str) -> list[RoomRead | StoreError]:
        """What a user has read of rooms, in their order, by one round trip. A guest (empty id) has no marks."""
        commands = []
        for room in rooms:
            names = (keys.history(room), keys.meta(room), keys.read(room))
            commands.append((names[0], UNREAD.command(names, user, USERS_MAX)))
        replies = await all_replies(self._store, commands)
        return [reply if isinstance(reply, StoreError) else _read(reply, user) for reply in replies]


def _read(reply: Reply, user: str) -> RoomRead:
    epoch, seq, marked, is_off = reply[0].decode(), int(reply[1]), reply[2].decode(), reply[3]
    position = Position(epoch, seq) if epoch else None
    mark = Position.parse(marked) if marked else None
    if mark is None:
        return RoomRead(position, None, None if is_off or not user else seq)
    return RoomRead(position, mark, max(0, seq - mark.seq) if mark.epoch == epoch else None)
