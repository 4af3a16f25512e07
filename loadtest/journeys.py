"""What each member saw of a room, cut into views (see `ledger`). Pure: facts in, views out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.protocol import Position


class Fact(NamedTuple):
    """One thing that happened in a room, as its clients saw it; which fields count depends on `kind`."""

    kind: str
    who: str
    text: str = ""
    position: Position | None = None
    at: float = 0.0
    recovered: bool | None = None
    word: str = ""


class Entry(NamedTuple):
    """A message in a view."""

    position: Position
    text: str


@dataclass(slots=True)
class View:
    """An unbroken stretch of a room for one member. Numbers are indexes into the room's facts.

    `after` is the position it goes on from, if it began with `since`; `opening` the room's position when it
    was joined afresh; neither is known when it began with a gap. `told` are the positions in join answers.
    """

    begin: int
    after: Position | None = None
    opening: Position | None = None
    is_announced: bool = False
    entries: list[Entry] = field(default_factory=list)
    told: list[Position] = field(default_factory=list)
    end: int | None = None
    is_announced_at_end: bool = False

    @property
    def is_live(self) -> bool:
        """Whether the member is in it still."""
        return self.end is None

    @property
    def last(self) -> Position | None:
        """The newest position in it."""
        return self.entries[-1].position if self.entries else self.after or self.opening

    def held(self) -> dict[Position, str]:
        """Its messages by position."""
        return {entry.position: entry.text for entry in self.entries}

    def texts(self) -> set[str]:
        """The texts of its messages."""
        return {entry.text for entry in self.entries}


def journeys(facts: list[Fact]) -> dict[str, list[View]]:
    """Every member's views, in order."""
    members: dict[str, _Journey] = {}
    for number, fact in enumerate(facts):
        if fact.kind in ("joining", "joined", "received", "gap", "left", "cut"):
            members.setdefault(fact.who, _Journey()).take(number, fact)
    return {member: journey.views for member, journey in members.items()}


class _Journey:
    """Follows one member through one room.

    `_arriving` holds what comes between a join and its answer: the answer tells to which view it belongs.
    """

    __slots__ = ("_arriving", "_is_in", "_since", "views")

    def __init__(self) -> None:
        self.views: list[View] = []
        self._is_in = False
        self._arriving: list[Entry] | None = None
        self._since: Position | None = None

    def take(self, number: int, fact: Fact) -> None:
        """The next fact about this member."""
        if fact.kind == "received" and fact.position is not None:
            self._receive(Entry(fact.position, fact.text))
        elif fact.kind == "joining":
            self._arriving, self._since = [], fact.position
        elif fact.kind == "joined" and fact.position is not None:
            self._join(number, fact.position, fact.recovered)
        elif fact.kind == "gap" and self._is_in:
            self._settle_live()
            self._begin(View(number, is_announced=True), number)
        elif fact.kind in ("left", "cut"):
            self._out(number)

    def _receive(self, entry: Entry) -> None:
        if self._arriving is None and self._is_in:
            self.views[-1].entries.append(entry)
            return
        if self._arriving is None:
            self._arriving = []
        self._arriving.append(entry)

    def _join(self, number: int, position: Position, recovered: bool | None) -> None:
        """The answer to a join: what arrived goes on with the old view, or begins a new one."""
        last = self.views[-1].last if self.views else None
        since = self._since or last
        if recovered and self.views and since == last and not self._is_in:
            view = self.views[-1]
            view.end = None
        else:
            if self._is_in:
                self._settle_live()
            is_announced = recovered is False
            after, opening = (since, None) if recovered else (None, position)
            view = self._begin(View(number, after, opening, is_announced), number)
        view.entries.extend(self._arriving or [])
        view.told.append(position)
        self._is_in, self._arriving, self._since = True, None, None

    def _settle_live(self) -> None:
        """What was still live for the old view came first: it goes on from there by one."""
        last = self.views[-1].last
        while last and self._arriving and self._arriving[0].position == Position(last.epoch, last.seq + 1):
            last = self._arriving[0].position
            self.views[-1].entries.append(self._arriving.pop(0))

    def _begin(self, view: View, number: int) -> View:
        if self.views:
            self.views[-1].end = self.views[-1].end or number
            self.views[-1].is_announced_at_end = view.is_announced
        self.views.append(view)
        return view

    def _out(self, number: int) -> None:
        if self._is_in and self.views:
            self.views[-1].end = number
        self._is_in, self._arriving, self._since = False, None, None
