"""What a session sends over polling, between the moment when it is sent and the request that fetches it.

Owns the packets, how many bytes they have, and the one poll that waits for them. Knows no session and no HTTP.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator

from gateway.metrics import written_bytes

Packet = tuple[bytes, bool]
"""A packet's data, and whether it is binary."""


class Outbox:
    """Packets that wait for a poll, oldest first, and the poll that waits for packets."""

    __slots__ = ("_packets", "_poll", "unsent_bytes")

    def __init__(self) -> None:
        self._packets: deque[Packet] = deque()
        self._poll: asyncio.Future[None] | None = None
        self.unsent_bytes = 0

    def __len__(self) -> int:
        return len(self._packets)

    def __iter__(self) -> Iterator[Packet]:
        return iter(self._packets)

    def add(self, data: bytes, is_binary: bool = False) -> None:
        """Puts a packet behind the others; whoever adds the last one calls `wake`."""
        self._packets.append((data, is_binary))
        self.unsent_bytes += len(data)

    def take(self, most: int | None = None) -> list[Packet]:
        """Takes the oldest packets out, all of them or `most`; those that stay are not touched."""
        packets = self._packets
        number = len(packets) if most is None else min(most, len(packets))
        taken = [packets.popleft() for _ in range(number)]
        taken_bytes = sum(len(data) for data, _ in taken)
        self.unsent_bytes -= taken_bytes
        written_bytes.value += taken_bytes
        return taken

    @property
    def is_polled(self) -> bool:
        """Whether a poll waits now."""
        return self._poll is not None

    async def wait(self) -> None:
        """Returns when `wake` is called; one poll at a time."""
        self._poll = asyncio.get_running_loop().create_future()
        try:
            await self._poll
        finally:
            self._poll = None

    def wake(self) -> None:
        """Ends the wait of the poll, if one waits."""
        if self._poll is not None and not self._poll.done():
            self._poll.set_result(None)
