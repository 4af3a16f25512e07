"""The ledger: who sent what, what was acknowledged, what each member saw, and the verdict on all of it.

Owns the record of a run (the rules are in `verdict`). Promises that whatever the gateway's contract forbids
is a finding: an acknowledged message that a member in the room neither got nor was told of, a message twice,
two orders in one room, a sender's messages in another order than sent, one that nobody sent. Does no I/O
and has no clock: whoever watches the run calls the recording methods in the order in which things happened to
the clients, and gives the times (seconds of any one clock).

Every text must be unique in its room: it is how a message is known again, retries included.

A member sees a room in views. A view begins with a join (or with `error` `gap`) and goes on through a rejoin
answered `recovered: true`; inside it, positions count on by one, whatever was cut in between. A rejoin
answered `recovered: false`, a join without `since` and a gap begin a new view, in which the last messages may
come again.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from gateway.protocol import Position
from loadtest.journeys import Fact
from loadtest.verdict import Finding, RoomJudge, RoomReport

FINDINGS_SHOWN = 40
_SHOWN = ("acknowledged", "received")


@dataclass(frozen=True, slots=True)
class Report:
    """The verdict over all rooms; the figures are sums (`epochs`, `longest_gap_s`: the most of any room)."""

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
    rooms: tuple[RoomReport, ...]

    @property
    def is_clean(self) -> bool:
        """Nothing missing, doubled, misordered or made up."""
        return not (self.missing or self.doubled or self.misordered or self.phantom)

    @property
    def findings(self) -> tuple[Finding, ...]:
        return tuple(finding for room in self.rooms for finding in room.findings)

    def __str__(self) -> str:
        head = (
            f"sent {self.sent}, acknowledged {self.acknowledged}, delivered {self.delivered}, "
            f"missing {self.missing}, doubled {self.doubled}, misordered {self.misordered}, "
            f"phantom {self.phantom}, lost by the store {self.lost}, gaps told {self.gaps}, "
            f"longest gap {self.longest_gap_s:.2f} s"
        )
        shown = [f"  {finding.kind}: {finding.sentence}" for finding in self.findings[:FINDINGS_SHOWN]]
        more = len(self.findings) - len(shown)
        return "\n".join([head, *shown, *([f"  … and {more} more findings"] if more > 0 else [])])


class Ledger:
    """Records a run and judges it; `history_messages` is how many messages the gateway replays."""

    def __init__(self, history_messages: int = 100) -> None:
        self._history_messages = history_messages
        self._rooms: defaultdict[str, list[Fact]] = defaultdict(list)
        self.acknowledgements = 0
        """How many there were so far."""

    def sent(self, sender: str, room: str, text: str, at: float) -> None:
        """A message leaves its sender; call it again for each retry."""
        self._rooms[room].append(Fact("sent", sender, text=text, at=at))

    def acknowledged(self, sender: str, room: str, text: str, id: str) -> None:
        """The sender was answered `ok` with the position `id`."""
        self.acknowledgements += 1
        self._rooms[room].append(Fact("acknowledged", sender, text=text, position=Position.parse(id)))

    def refused(self, sender: str, room: str, text: str, code: str) -> None:
        """The sender was answered with an error."""
        self._rooms[room].append(Fact("refused", sender, text=text, word=code))

    def joining(self, member: str, room: str, since: str | None = None) -> None:
        """A join leaves its member. Needed only if the member is in the room, or gives an old `since`."""
        self._rooms[room].append(Fact("joining", member, position=Position.parse(since) if since else None))

    def joined(self, member: str, room: str, position: str, recovered: bool | None = None) -> None:
        """A join was answered `ok`, after the replay. `recovered` is None for a join without `since`."""
        fact = Fact("joined", member, position=Position.parse(position), recovered=recovered)
        self._rooms[room].append(fact)

    def received(self, member: str, room: str, text: str, id: str | None, at: float) -> None:
        """A `receive` arrived. Without `id` it is a notice, which is not judged."""
        if id is not None:
            self._rooms[room].append(Fact("received", member, text=text, position=Position.parse(id), at=at))

    def gap(self, member: str, room: str) -> None:
        """The member was told `error` `gap`; the last messages follow."""
        self._rooms[room].append(Fact("gap", member))

    def left(self, member: str, room: str) -> None:
        """The member left the room for good."""
        self._rooms[room].append(Fact("left", member))

    def cut(self, member: str, room: str) -> None:
        """The member's connection ended. A join that had no answer yet counts as never made."""
        self._rooms[room].append(Fact("cut", member))

    def seen(self) -> dict[str, set[Position]]:
        """By room: the positions since its last epoch began that were acknowledged or shown to somebody."""
        found = {}
        for room, facts in self._rooms.items():
            shown = [fact.position for fact in facts if fact.kind in _SHOWN and fact.position]
            newest_epoch = shown[-1].epoch if shown else ""
            found[room] = {position for position in shown if position.epoch == newest_epoch}
        return found

    def resumed_after_s(self, at: float) -> float:
        """The seconds from `at` until the last of the rooms delivered a message again that nobody had before.

        Infinite when a room never did.
        """
        longest = 0.0
        for facts in self._rooms.values():
            known: set[str | None] = set()
            first = float("inf")
            for fact in facts:
                if fact.kind == "received" and fact.text not in known:
                    known.add(fact.text)
                    if fact.at >= at:
                        first = fact.at
                        break
            longest = max(longest, first - at)
        return longest

    def judge(self) -> Report:
        """The verdict as of now. Members in a room should have got everything: let traffic settle first."""
        rooms = tuple(
            RoomJudge(room, facts, self._history_messages).verdict() for room, facts in self._rooms.items()
        )
        figures = (
            "sent",
            "acknowledged",
            "delivered",
            "missing",
            "doubled",
            "misordered",
            "phantom",
            "lost",
            "gaps",
        )
        sums = {name: sum(getattr(room, name) for room in rooms) for name in figures}
        epochs = max((room.epochs for room in rooms), default=0)
        longest = max((room.longest_gap_s for room in rooms), default=0.0)
        return Report(**sums, epochs=epochs, longest_gap_s=longest, rooms=rooms)
