"""One message to many members: a plain loop over ready bytes.

Owns how a room's packets reach its live members on this worker: each packet is framed once, several packets of one
turn leave in one write per member. No task, no await, no encoding per recipient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from gateway.interfaces import Recipient
from gateway.websocket.deflate import COMPRESS_FROM_BYTES, compress
from gateway.websocket.frames import TEXT, frame, text_frame

Write = Callable[[bytes], None]


class Targets:
    """The live members of one room as ways to write; built again after a change, when it is next needed."""

    __slots__ = ("deflated", "plain", "slow")

    def __init__(self, recipients: Iterable[Recipient]) -> None:
        self.plain: list[Write] = []
        self.deflated: list[Write] = []
        self.slow: list[Recipient] = []
        for recipient in recipients:
            if (write := recipient.direct_write) is not None:
                self.plain.append(write)
            elif (write := recipient.direct_write_deflated) is not None:
                self.deflated.append(write)
            else:
                self.slow.append(recipient)

    def write(self, packets: Sequence[bytes]) -> int:
        """Writes Engine.IO text packets to every member; returns how many members there are."""
        plain = self.plain
        if plain:
            data = text_frame(packets[0]) if len(packets) == 1 else b"".join(map(text_frame, packets))
            for write in plain:
                write(data)
        if self.deflated:
            data = b"".join(map(_compressed, packets))
            for write in self.deflated:
                write(data)
        for recipient in self.slow:
            recipient.send_texts(packets)
        return len(plain) + len(self.deflated) + len(self.slow)


def _compressed(packet: bytes) -> bytes:
    if len(packet) < COMPRESS_FROM_BYTES:
        return text_frame(packet)
    return frame(TEXT, compress(packet), True)
