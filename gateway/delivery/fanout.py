"""One message to many members: a plain loop over ready bytes.

Owns how a room's packets reach its live members on this worker: each packet is framed once, several packets of one
turn leave in one write per member. No task, no await, no encoding per recipient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from gateway.delivery.deflate import COMPRESS_FROM_BYTES, compress
from gateway.delivery.frames import TEXT, frame, text_frame
from gateway.delivery.sockets import EngineSocket

Write = Callable[[bytes], None]


class Targets:
    """The live members of one room as ways to write; built again after a change, when it is next needed."""

    __slots__ = ("compressing", "plain", "slow")

    def __init__(self, sockets: Iterable[EngineSocket]) -> None:
        self.plain: list[Write] = []
        self.slow: list[EngineSocket] = []
        self.compressing: list[EngineSocket] = []
        for socket in sockets:
            write = socket.direct_write
            if write is not None:
                self.plain.append(write)
            elif socket.upgraded and socket.carrier is not None and socket.carrier.window_bits == 15:
                self.compressing.append(socket)
            else:
                self.slow.append(socket)

    def write(self, packets: Sequence[bytes]) -> int:
        """Writes Engine.IO text packets to every member; returns how many members there are."""
        plain = self.plain
        if plain:
            data = text_frame(packets[0]) if len(packets) == 1 else b"".join(map(text_frame, packets))
            for write in plain:
                write(data)
        if self.compressing:
            data = b"".join(map(_compressed, packets))
            for socket in self.compressing:
                if socket.carrier is not None:
                    socket.carrier.send_frames(data)
        for socket in self.slow:
            socket.send_texts(packets)
        return len(plain) + len(self.compressing) + len(self.slow)


def _compressed(packet: bytes) -> bytes:
    if len(packet) < COMPRESS_FROM_BYTES:
        return text_frame(packet)
    return frame(TEXT, compress(packet), True)
