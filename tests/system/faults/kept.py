"""What a killed server really kept of each room, beside what people had seen of it: so that no test passes by luck.

Owns the comparison. What the append-only file holds is read by a second server from a copy of it, while the killed
one is still down. Then the rule is judged room by room. Where something seen is gone, the room begins another epoch,
and every member that had it is told a gap. Where nothing is gone, neither happens.
"""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict

from gateway import keys
from gateway.protocol import Position
from loadtest.ledger import Report
from tests.support.servers import PERSISTENCE, Valkey
from tests.system.faults.scene import Scene


class Audit:
    """Of one scene with one server, over any number of kills: `compare` while it is down, `judge` at the end."""

    def __init__(self, scene: Scene[Valkey]) -> None:
        self.lost = 0
        """So many messages that somebody had seen or had acknowledged were not in the file, over all kills."""
        self._scene = scene
        self._times_short: Counter[str] = Counter()  # how often each room came back with less
        self._gaps_due: Counter[str] = Counter()  # by room: members that had more, over all kills

    async def compare(self) -> int:
        """The server is dead and all that it said has arrived: how many seen messages are not in its file."""
        seen = self._scene.traffic.ledger.seen()
        kept = await _kept(self._scene.store, list(seen))
        lost = 0
        for room, positions in seen.items():
            if gone := {each for each in positions if not _holds(kept[room], each)}:
                lost += len(gone)
                self._times_short[room] += 1
                self._gaps_due[room] += self._members_that_had(room, gone)
        self.lost += lost
        return lost

    def judge(self, report: Report) -> None:
        """Every loss was told to all that had more, by one new epoch each; and nothing else was told."""
        wrong = []
        for room in report.rooms:
            short, due = self._times_short[room.room], self._gaps_due[room.room]
            if room.epochs != 1 + short or room.gaps < due or (room.gaps and not short):
                wrong.append(
                    f"{room.room}: short {short} times, but {room.epochs} epochs; {room.gaps} gaps, due {due}"
                )
        assert not wrong, "\n".join(wrong)

    def _members_that_had(self, room: str, gone: set[Position]) -> int:
        people = (person for person in self._scene.traffic.people if person.room == room and person.last_id)
        return sum(Position.parse(str(person.last_id)) in gone for person in people)


def _holds(kept: Position | None, position: Position) -> bool:
    """Whether a file that goes up to `kept` has this one."""
    return kept is not None and kept.epoch == position.epoch and kept.seq >= position.seq


async def _kept(server: Valkey, rooms: list[str]) -> dict[str, Position | None]:
    """The newest position of each room by the append-only file of a server that is down."""
    assert not server.is_running
    witness = Valkey(*PERSISTENCE["always"])
    try:
        shutil.copytree(server.folder / "appendonlydir", witness.folder / "appendonlydir")
        await witness.start()
        found: defaultdict[str, Position | None] = defaultdict(lambda: None)
        for room in rooms:
            epoch, seq = await witness.ask("HMGET", keys.meta(room), "epoch", "seq")
            found[room] = Position(epoch, int(seq)) if epoch else None
        return found
    finally:
        witness.close()
