"""A room whose snapshots are answered by hand, and messages as the channel and the store have them."""

from __future__ import annotations

from gateway.errors import StoreError
from gateway.protocol import Position, receive_json
from gateway.rooms.payloads import channel_epoch
from gateway.rooms.resync import Answer
from gateway.rooms.room import Room
from gateway.state.history import Observed, Snapshot
from tests.support.hand_source import HandSource

ROOM = "tea"


class RoomByHand:
    """A room, and the source that answers when the test likes."""

    def __init__(self) -> None:
        self.source = HandSource()
        self.now_s = 0.0
        self.room = Room(ROOM, b"channel", self.source.start, lambda: self.now_s)

    @property
    def reads(self) -> int:
        """How many snapshots were wanted."""
        return self.source.reads

    def at(self, seq: int, epoch: str = "a") -> RoomByHand:
        """Begins with a snapshot of `seq` messages, read for nobody in particular."""
        self.room.request()
        self.comes(stored(seq, epoch=epoch))
        self.source.reads = 0
        return self

    def hears(self, *seqs: int, epoch: str = "a", origin: str = "") -> None:
        """The channel brings messages, all in one read."""
        self.room.receive([live(seq, epoch, origin=origin) for seq in seqs])

    def asks(self) -> Observed:
        """What the reading under way says of what was observed."""
        return self.source.ask()

    def comes(self, snapshot: Snapshot | StoreError, is_settled: bool = True, origin: str = "") -> None:
        """The snapshot that was asked for."""
        self.source.answer(
            snapshot if isinstance(snapshot, StoreError) else Answer(snapshot, is_settled, origin)
        )

    def is_paused(self) -> bool:
        """Whether the reading waits before it tries again."""
        return self.source.step is not None and self.source.step.kind == "pause"


def text(seq: int, epoch: str = "a", mark: str = "") -> bytes:
    return b'{"message":"%b%d%b","username":"u","__createdtime__":1}' % (epoch.encode(), seq, mark.encode())


def live(seq: int, epoch: str = "a", mark: str = "", origin: str = "") -> bytes:
    where = Position(epoch, seq)
    return (
        channel_epoch(epoch, origin) + b":%d " % seq + receive_json(text(seq, epoch, mark), b'"tea"', where)
    )


def stored(seq: int, count: int = 100, epoch: str = "a", mark: str = "") -> Snapshot:
    oldest = max(1, seq - count + 1)
    return Snapshot(epoch, seq, [text(number, epoch, mark) for number in range(oldest, seq + 1)])
