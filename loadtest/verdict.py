"""The rules by which one room of a run is judged (see `ledger`). Pure: facts in, findings out."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import NamedTuple

from gateway.protocol import Position
from loadtest.journeys import Fact, View, journeys

MAY_BE_STORED = ("unavailable", "internal")
"""Refusals after which a message may have been stored all the same."""


class Finding(NamedTuple):
    """One breach of the contract: `kind` is missing, doubled, misordered or phantom; `messages` how many."""

    kind: str
    messages: int
    sentence: str


@dataclass(frozen=True, slots=True)
class RoomReport:
    """One room's figures, in messages (`delivered`: per member). `missing` to `phantom` should be 0.

    `lost` counts acknowledged messages that the store no longer had or that nobody ever saw; `gaps` the times
    a member was told of a gap; `epochs` how many were seen; `longest_gap_s` the longest time between two
    messages to one member.
    """

    room: str
    sent: int
    acknowledged: int
    delivered: int
    missing: int
    doubled: int
    misordered: int
    phantom: int
    lost: int
    gaps: int
    epochs: int
    longest_gap_s: float
    findings: tuple[Finding, ...]


class RoomJudge:
    """Judges one room by its facts, in their order."""

    def __init__(self, room: str, facts: list[Fact], history_messages: int) -> None:
        self._room, self._facts, self._history = room, facts, history_messages
        self._findings: list[Finding] = []
        self._views = journeys(facts)
        self._sends = Counter(fact.text for fact in facts if fact.kind == "sent")
        self._acknowledged: defaultdict[str, set[Position]] = defaultdict(set)
        self._refusals: defaultdict[str, list[str]] = defaultdict(list)
        self._winner: dict[Position, str] = {}
        for fact in facts:
            if fact.kind == "acknowledged" and fact.position:
                self._acknowledged[fact.text].add(fact.position)
            elif fact.kind == "refused":
                self._refusals[fact.text].append(fact.word)
            elif fact.kind == "received" and fact.position:
                self._winner[fact.position] = fact.text
        self._evidence = self._gather_evidence()

    def verdict(self) -> RoomReport:
        """All rules, one after another."""
        for member, views in self._views.items():
            had = set[tuple[Position, str]]()
            for view in views:
                self._judge_view(member, view)
                self._judge_due(member, view, had)
                had.update(view.entries)
        self._judge_positions()
        self._judge_senders()
        self._judge_phantoms()
        found = Counter[str]()
        for finding in self._findings:
            found[finding.kind] += finding.messages
        seen = {fact.position for fact in self._facts if fact.kind in ("received", "acknowledged")}
        return RoomReport(
            room=self._room,
            sent=len(self._sends),
            acknowledged=len(self._acknowledged),
            delivered=sum(len(view.entries) for views in self._views.values() for view in views),
            missing=found["missing"],
            doubled=found["doubled"],
            misordered=found["misordered"],
            phantom=found["phantom"],
            lost=sum(
                not any(self._is_kept(at, text) for at in ids) for text, ids in self._acknowledged.items()
            ),
            gaps=sum(view.is_announced for views in self._views.values() for view in views),
            epochs=len({position.epoch for position in seen if position}),
            longest_gap_s=_longest_gap_s(self._facts),
            findings=tuple(self._findings),
        )

    def _find(self, kind: str, count: int, sentence: str) -> None:
        self._findings.append(Finding(kind, count, f"room {self._room}: {sentence}"))

    def _is_kept(self, position: Position, text: str) -> bool:
        """Whether the store still had this text at that position when it was last read."""
        return self._winner.get(position) == text

    def _judge_view(self, member: str, view: View) -> None:
        """Positions count on by one from where the view begins to where it was when it was joined."""
        last, texts = self._beginning(view), set[str]()
        for entry in view.entries:
            position, text = entry.position, entry.text
            if text in texts:
                self._find("doubled", 1, f"{member} got {position} {text!r} twice")
            elif last is not None and position.epoch != last.epoch:
                self._find(
                    "misordered", 1, f"{member} went from {last} to {position} without being told of a gap"
                )
            elif last is not None and position.seq <= last.seq:
                self._find("misordered", 1, f"{member} got {position} {text!r} after {last}")
                continue
            elif last is not None and position.seq > last.seq + 1:
                self._find(
                    "missing", position.seq - last.seq - 1, f"{member} got {position} next after {last}"
                )
            texts.add(text)
            if last is None or position.epoch != last.epoch or position.seq > last.seq:
                last = position
        for told in view.told:
            if last is None or last.epoch != told.epoch or last.seq < told.seq:
                seq = last.seq if last is not None and last.epoch == told.epoch else 0
                self._find(
                    "missing", told.seq - seq, f"{member} was told that {told} is the newest, but saw {last}"
                )
                last = told

    def _beginning(self, view: View) -> Position | None:
        """The position before the first one that the view owes; None when that is not known.

        A replay may begin before the last messages that are owed: more came while it was on its way.
        """
        if view.after is not None or view.opening is None:
            return view.after
        owed = max(0, view.opening.seq - self._history)
        first = view.entries[0].position if view.entries else view.opening
        if first.epoch == view.opening.epoch and 0 < first.seq <= owed:
            owed = first.seq - 1
        return Position(view.opening.epoch, owed)

    def _judge_due(self, member: str, view: View, had: set[tuple[Position, str]]) -> None:
        """All that is known to have been stored while the view lasted is in it, at its place; or had come before, as
        what is sent again with its idempotency key may be acknowledged late; or is in it by another epoch's number,
        where others got it before that epoch began."""
        if view.is_announced_at_end:
            return
        late, other, swapped = set[Position](), set[Position](), set[Position]()
        held, texts, last = view.held(), view.texts(), view.last or self._beginning(view)
        for number, position, text in self._evidence:
            if number <= view.begin or (view.end is not None and number >= view.end):
                continue
            if position in held:
                if text is not None and held[position] != text:
                    (swapped if text in texts else other).add(position)
            elif (position, text) in had or (text in texts and position.epoch != (last or position).epoch):
                continue
            elif view.is_live and (last is None or position.epoch != last.epoch or position.seq > last.seq):
                late.add(position)
        if late:
            self._find("missing", len(late), f"{member} stayed at {last} and never got {_span(late)}")
        if other:
            self._find("missing", len(other), f"{member} was given other messages in place of {_span(other)}")
        if swapped:
            self._find("misordered", len(swapped), f"{member} saw {_span(swapped)} in another order")

    def _gather_evidence(self) -> list[tuple[int, Position, str | None]]:
        """What is known to have been stored, since which fact: acknowledged, seen, or told as a position."""
        evidence: list[tuple[int, Position, str | None]] = []
        seen = set[Position]()
        for number, fact in enumerate(self._facts):
            position = fact.position
            if position is None:
                continue
            if fact.kind == "acknowledged":
                evidence.append((number, position, fact.text))
            elif fact.kind == "received" and position not in seen and self._is_kept(position, fact.text):
                seen.add(position)
                evidence.append((number, position, fact.text))
            elif fact.kind == "joined" and position.seq:
                evidence.append((number, position, None))
        return evidence

    def _judge_positions(self) -> None:
        """A text is acknowledged with one position, the one at which it came. Twice in a view is judged there."""
        placed: defaultdict[str, set[Position]] = defaultdict(set)
        for position, text in self._winner.items():
            placed[text].add(position)
        for text, ids in self._acknowledged.items():
            if len(ids) > 1:
                self._find("doubled", len(ids) - 1, f"{text!r} was acknowledged as {_span(ids)}")
            for given in ids:
                elsewhere = {at for at in placed.get(text, set()) if at.epoch == given.epoch and at != given}
                if elsewhere and len(placed[text]) == 1:
                    self._find(
                        "misordered", 1, f"{text!r}, acknowledged as {given}, came as {_span(elsewhere)}"
                    )

    def _judge_senders(self) -> None:
        """What a sender sent once, and got acknowledged, comes in the order of sending in every view."""
        order: dict[str, tuple[str, int]] = {}
        for number, fact in enumerate(self._facts):
            is_once = fact.kind == "sent" and self._sends[fact.text] == 1 and fact.text not in self._refusals
            if is_once and fact.text in self._acknowledged:
                order[fact.text] = fact.who, number
        swapped: dict[tuple[str, str], str] = {}
        for view in (view for views in self._views.values() for view in views):
            newest: dict[str, tuple[int, str]] = {}
            for text in dict.fromkeys(entry.text for entry in view.entries if entry.text in order):
                sender, number = order[text]
                before = newest.get(sender, (-1, ""))
                if number < before[0]:
                    swapped[before[1], text] = sender
                newest[sender] = max(before, (number, text))
        for (later, earlier), sender in swapped.items():
            self._find("misordered", 1, f"{sender} sent {earlier!r} before {later!r}, but it came after")

    def _judge_phantoms(self) -> None:
        """What was delivered was sent to this room, and not refused for good."""
        for text in dict.fromkeys(fact.text for fact in self._facts if fact.kind == "received"):
            refusals = self._refusals.get(text, [])
            if text not in self._sends:
                self._find("phantom", 1, f"{text!r} was delivered and never sent")
            elif (
                text not in self._acknowledged
                and len(refusals) >= self._sends[text]
                and not any(code in MAY_BE_STORED for code in refusals)
            ):
                self._find("phantom", 1, f"{text!r} was delivered though refused with {refusals[-1]}")


def _longest_gap_s(facts: list[Fact]) -> float:
    """The longest time between two messages to one member that had not left in between."""
    newest: dict[str, float] = {}
    longest = 0.0
    for fact in facts:
        if fact.kind == "left":
            newest.pop(fact.who, None)
        elif fact.kind == "received":
            longest = max(longest, fact.at - newest.get(fact.who, fact.at))
            newest[fact.who] = fact.at
    return longest


def _span(positions: set[Position]) -> str:
    ordered = sorted(positions)
    return (
        str(ordered[0]) if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]} ({len(ordered)} messages)"
    )
