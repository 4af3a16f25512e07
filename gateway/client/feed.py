"""What happens, as values, for whoever reads along: `async for event in room.events()`.

A reader that is slow does not hold the connection up. Once too much waits for it, what waits is dropped, and it gets
`Reloaded` of each room that this is about: what is shown now is in `room.messages`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

from gateway.client.messages import Message

WAITING_MAX = 10_000
"""How many events wait for one reader."""


@dataclass(frozen=True, slots=True)
class Connected:
    """The connection stands: the first one, or one more. Rooms are joined after this."""

    room: str = ""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection is gone; the client comes back by itself."""

    room: str = ""


@dataclass(frozen=True, slots=True)
class Received:
    """A message is new at the end of what is shown; each comes once."""

    room: str
    message: Message


@dataclass(frozen=True, slots=True)
class Changed:
    """A message that is shown was edited or redacted."""

    room: str
    message: Message


@dataclass(frozen=True, slots=True)
class Reloaded:
    """Show `room.messages` anew: the room was joined, or some messages are missing before what is shown now."""

    room: str
    is_missing_some: bool


@dataclass(frozen=True, slots=True)
class Noticed:
    """The gateway says who came and who left; nothing that is stored."""

    room: str
    text: str


@dataclass(frozen=True, slots=True)
class Signalled:
    """Somebody's signal: typing, a reaction, a raised hand."""

    room: str
    kind: str
    username: str
    user: str | None
    data: Any


@dataclass(frozen=True, slots=True)
class Read:
    """A user has read the room up to `id` (where the room's rule has receipts)."""

    room: str
    user: str
    username: str | None
    id: str


@dataclass(frozen=True, slots=True)
class Removed:
    """This client was taken out of the room, and does not come back by itself: `room.rejoin()`."""

    room: str
    code: str
    reason: str | None


Event = Connected | Disconnected | Received | Changed | Reloaded | Noticed | Signalled | Read | Removed


class Feed:
    """Gives events to all who read along."""

    def __init__(self) -> None:
        self._readers: WeakSet[_Reader] = WeakSet()  # one whose iterator nobody has is gone
        self._is_over = False

    def publish(self, event: Event) -> None:
        """Something happened."""
        for reader in tuple(self._readers):
            reader.put(event)

    def close(self) -> None:
        """Nothing happens any more: readers end once they have read what waits."""
        self._is_over = True
        for reader in tuple(self._readers):
            reader.woken.set()

    def events(self) -> AsyncIterator[Event]:
        """All that happens from this call on."""
        reader = _Reader()
        self._readers.add(reader)
        return self._read(reader)

    async def _read(self, reader: _Reader) -> AsyncIterator[Event]:
        try:
            while True:
                while reader.waiting:
                    yield reader.waiting.popleft()
                if self._is_over:
                    return
                reader.woken.clear()
                await reader.woken.wait()
        finally:
            self._readers.discard(reader)


class _Reader:
    """One who reads along."""

    __slots__ = ("__weakref__", "waiting", "woken")

    def __init__(self) -> None:
        self.waiting: deque[Event] = deque()
        self.woken = asyncio.Event()

    def put(self, event: Event) -> None:
        if len(self.waiting) >= WAITING_MAX:
            rooms = dict.fromkeys(each.room for each in (*self.waiting, event) if each.room)
            self.waiting.clear()
            self.waiting.extend(Reloaded(room, False) for room in rooms)
        else:
            self.waiting.append(event)
        self.woken.set()
