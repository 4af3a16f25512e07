"""What one room shows: the messages, each once and in their order, and the position up to which nothing is missing.

Owns the rule by which most clients err: while a join is open, what comes is collected, and taken over when the join is
answered. Example: the client has 1 to 40, the room is at 300, and the connection breaks while 201 to 203 come in. Had
it taken 203 as its position, nobody would ever tell it that 41 to 200 are gone.

Values only: no connection and no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from gateway.client.messages import Message, changed_message, distance


class Taken(Enum):
    """What became of a message that came."""

    SHOWN = "shown"  # it is new
    KNOWN = "known"  # it is shown already
    HELD = "held"  # a join is open
    HOLE = "hole"  # something before it is missing: the room must be joined again


class Timeline:
    """The messages of a room. `kept` is how many are remembered at most."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._shown: dict[str, Message] = {}  # in their order
        self._held: dict[str, Message] | None = None  # while a join is open
        self._since: str | None = None  # what the open join named
        self._has_gap = False  # the gateway said so while a join is open
        self.position: str | None = None
        """The `since` of the next join."""

    @property
    def messages(self) -> list[Message]:
        """What is to be shown, oldest first."""
        return list(self._shown.values())

    def begin_join(self) -> str | None:
        """A join begins; returns its `since`. What an open one has brought counts no more."""
        self._held, self._since, self._has_gap = {}, self.position, False
        return self.position

    def take(self, message: Message) -> Taken:
        """A message came."""
        if self._held is not None:
            before = self._held.get(message.id)
            if before is None or before.changed_at_ms <= message.changed_at_ms:
                self._held[message.id] = message
            return Taken.HELD
        if message.id in self._shown:
            return Taken.KNOWN
        if self.position is not None:
            ahead = distance(self.position, message.id)
            if ahead is None or ahead > 1:
                return Taken.HOLE
            if ahead < 1:
                return Taken.KNOWN
        self._shown[message.id] = message
        self.position = message.id
        self._trim()
        return Taken.SHOWN

    def joined(self, answer: Mapping[str, Any]) -> list[Message] | None:
        """The join is answered. Returns what is new at the end; None if all is to be shown anew."""
        held, self._held = self._held or {}, None
        since = self._since
        is_whole = since is not None and answer.get("recovered") is True and not self._has_gap
        if not is_whole:
            self._shown = {}
        added = [message for message in held.values() if message.id not in self._shown]
        self._shown.update((message.id, message) for message in added)
        self.position = _later(answer["id"], added[-1].id if added else None)
        self._trim()
        return added if is_whole else None

    def gap(self) -> None:
        """Messages were missed and can no longer be read; the last ones follow."""
        if self._held is not None:
            self._held.clear()
            self._has_gap = True
        else:
            self._shown.clear()
            self.position = None

    def change(self, data: Mapping[str, Any]) -> Message | None:
        """A message was changed. Returns it if it is shown and was not known so."""
        changed = None
        for messages in (self._shown, self._held or {}):
            before = messages.get(data.get("id", ""))
            if before is not None:
                after = messages[before.id] = changed_message(before, data)
                changed = after if messages is self._shown and after != before else changed
        return changed

    def _trim(self) -> None:
        while len(self._shown) > self._kept:
            del self._shown[next(iter(self._shown))]


def _later(position: str, other: str | None) -> str:
    """The later of two positions; the answer's own where they are of two epochs."""
    return other if other is not None and (distance(position, other) or 0) > 0 else position
