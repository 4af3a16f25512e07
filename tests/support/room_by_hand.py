"""A room whose snapshots are answered by hand, and messages as the channel and the store have them."""

from __future__ import annotations

from gateway.protocol import Position, receive_json
from gateway.rooms.room import Room
from gateway.state.history import Snapshot

ROOM = "tea"


class RoomByHand:
    """A room whose snapshots come by hand, and the reads that it asked for."""

    def __init__(self) -> None:
        self.reads = 0
        self.now_s = 0.0
        self.room = Room(ROOM, b"channel", self._read, lambda: self.now_s)

    def _read(self, room: Room) -> None:
        self.reads += 1

    def at(self, seq: int, epoch: str = "a") -> RoomByHand:
        """Begins with a snapshot of `seq` messages, read for nobody in particular."""
        self.room.start_reading()
        self.room.snapshot_came(stored(seq, epoch=epoch))
        self.reads = 0
        return self

    def hears(self, *seqs: int, epoch: str = "a") -> None:
        """The channel brings messages, all in one read."""
        self.room.receive([live(seq, epoch) for seq in seqs])


def text(seq: int, epoch: str = "a", mark: str = "") -> bytes:
    return b'{"message":"%b%d%b","username":"u","__createdtime__":1}' % (epoch.encode(), seq, mark.encode())


def live(seq: int, epoch: str = "a", mark: str = "") -> bytes:
    where = Position(epoch, seq)
    return f"{where} ".encode() + receive_json(text(seq, epoch, mark), b'"tea"', where)


def stored(seq: int, count: int = 100, epoch: str = "a", mark: str = "") -> Snapshot:
    oldest = max(1, seq - count + 1)
    return Snapshot(epoch, seq, [text(number, epoch, mark) for number in range(oldest, seq + 1)])
