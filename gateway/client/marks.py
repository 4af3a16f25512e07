"""Up to where a user has read each room, and how many messages came after that.

A user's marks are the gateway's: asked for at each connection, for all rooms at once, and told when they move. A
guest's are kept here, from the first join on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from gateway.client.errors import refusal
from gateway.client.line import Line
from gateway.client.messages import distance, epoch_and_seq
from gateway.client.retrying import ask_pause_s

TOLD_EVERY_S = 0.5
"""One mark for what is read together."""
ASKED_AT_ONCE = 200


class Mark:
    """Up to where one room is read."""

    __slots__ = ("is_asked_for", "is_known", "is_told", "read")

    def __init__(self) -> None:
        self.read: str | None = None
        self.is_known = False  # whether the gateway, or the first join of a guest, has said it
        self.is_told = True
        self.is_asked_for = False

    def unread(self, position: str | None) -> int | None:
        """How many messages are behind the mark in a room that is at a position; all that were ever said without one.
        None where nobody knows: before it is known, or when the mark is of another epoch."""
        if not self.is_known or position is None:
            return None
        if self.read is None:
            return max(0, epoch_and_seq(position)[1])
        behind = distance(self.read, position)
        return None if behind is None else max(0, behind)

    def move(self, position: str) -> bool:
        """It is read up to there. Returns whether that is news; a mark moves forward only."""
        ahead = None if self.read is None else distance(self.read, position)
        if ahead is not None and ahead <= 0:
            return False
        self.read, self.is_known, self.is_told = position, True, False
        return True

    def begin(self, position: str) -> None:
        """A guest has joined for the first time: what was said before is no news."""
        if not self.is_known:
            self.read, self.is_known = position, True

    def heard(self, position: str | None) -> None:
        """The gateway says how far it is read, on whatever device. What was read here since is further."""
        self.is_known = self.is_asked_for = True
        if position is not None and self.is_told:
            self.read = position


class Marks:
    """Asks for the marks of a user, and tells them, for as long as a connection lasts."""

    def __init__(self, rooms: Mapping[str, Mark]) -> None:
        """`rooms` are the marks by name; rooms come and go."""
        self._rooms = rooms
        self.woken = asyncio.Event()

    def begin_connect(self) -> None:
        """What other devices have read meanwhile is not known."""
        for mark in self._rooms.values():
            mark.is_asked_for = False

    async def run(self, line: Line) -> None:
        """Once in a while, whatever is to be asked and told. Ends with the connection only."""
        while True:
            await self.woken.wait()
            self.woken.clear()
            await self._ask(line, [name for name, mark in self._rooms.items() if not mark.is_asked_for])
            await self._tell(line, [name for name, mark in self._rooms.items() if not mark.is_told])
            await asyncio.sleep(TOLD_EVERY_S)

    async def _ask(self, line: Line, names: list[str]) -> None:
        for begin in range(0, len(names), ASKED_AT_ONCE):
            answer = await _answered(line, "unread", {"rooms": names[begin : begin + ASKED_AT_ONCE]})
            for name, found in _pairs(answer.get("rooms")):
                if (mark := self._rooms.get(name)) is not None:
                    mark.is_asked_for = True
                    if "code" not in found:
                        mark.heard(found.get("read"))

    async def _tell(self, line: Line, names: list[str]) -> None:
        for name in names:
            mark = self._rooms.get(name)
            if mark is not None and (position := mark.read) is not None:
                await _answered(line, "read", {"room": name, "id": position})
                mark.is_told |= mark.read == position


async def _answered(line: Line, event: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Asks until it is answered for good."""
    attempt = 0
    while True:
        answer = await line.ask(event, data)
        if answer.get("ok") or not (refused := refusal(answer)).retryable:
            return answer
        await asyncio.sleep(ask_pause_s(attempt, refused))
        attempt += 1


def _pairs(rooms: object) -> Iterable[tuple[str, Mapping[str, Any]]]:
    return rooms.items() if isinstance(rooms, Mapping) else ()
