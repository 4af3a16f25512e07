"""Packets that leave together: stored messages, and events beside them that some do not get. Values only.

Example: the channel brings, in one turn, that Ada has come, message 8, and that Ben has come. Ada gets the second and
the third of the three packets, Ben the first two, everybody else all of them, and each of them in one write.
"""

from __future__ import annotations

from collections.abc import Sequence

Beside = tuple[int, str]
"""The place of a packet that is no stored message, and the session that does not get it; empty: all do."""


class Batch:
    """Packets in their order.

    packets       what leaves
    size          their bytes
    beside        which of them are no stored messages, by their places
    skipped       session → places of the packets that it does not get
    is_measured   whether it is counted how long writing them takes
    """

    __slots__ = ("beside", "is_measured", "packets", "size", "skipped")

    def __init__(
        self, packets: list[bytes], beside: Sequence[Beside] = (), is_measured: bool = False
    ) -> None:
        self.packets = packets
        self.size = sum(map(len, packets))
        self.beside: set[int] = set()
        self.skipped: dict[str, set[int]] = {}
        self.is_measured = is_measured
        for place, except_session in beside:
            self.beside.add(place)
            if except_session:
                self.skipped.setdefault(except_session, set()).add(place)

    def extend(self, other: Batch) -> None:
        """What leaves behind this, too."""
        first = len(self.packets)
        self.packets += other.packets
        self.size += other.size
        self.beside.update(first + place for place in other.beside)
        for session, places in other.skipped.items():
            self.skipped.setdefault(session, set()).update(first + place for place in places)
        self.is_measured |= other.is_measured

    def skip_all(self, session: str) -> tuple[int, int]:
        """A session does not get what is there now; returns how many messages that are, and their bytes."""
        self.skipped[session] = set(range(len(self.packets)))
        return self.messages, self.message_bytes

    def of(self, session: str) -> tuple[list[bytes], int, int]:
        """What one session gets, how many messages are among it, and their bytes."""
        skipped, beside = self.skipped.get(session, ()), self.beside
        places = [place for place in range(len(self.packets)) if place not in skipped]
        messages = [place for place in places if place not in beside]
        return (
            [self.packets[place] for place in places],
            len(messages),
            sum(len(self.packets[place]) for place in messages),
        )

    @property
    def messages(self) -> int:
        """How many are stored messages."""
        return len(self.packets) - len(self.beside)

    @property
    def message_bytes(self) -> int:
        """The bytes of those."""
        return self.size - sum(len(self.packets[place]) for place in self.beside)
