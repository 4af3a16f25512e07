"""One message to many members: a plain loop over ready bytes.

Owns how a room's packets reach its live members on this worker: each packet is framed once, several packets of one
turn leave in one write per member. No task, no await, no encoding per recipient. To many members all of that is one
call (`send_directly.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from gateway.interfaces import Recipient
from gateway.metrics import fanout_seconds, written_bytes
from gateway.rooms.send_directly import DirectSockets, direct_from
from gateway.websocket.deflate import COMPRESS_FROM_BYTES, compress
from gateway.websocket.frames import TEXT, frame, text_frame

Write = Callable[[bytes], None]

MEASURED_IN = 8
"""One write in so many is measured: by the number of the message, so that nothing is counted for it."""


class Targets:
    """The live members of one room as ways to write; built again after a change, when it is next needed."""

    __slots__ = ("_direct", "_direct_from", "_has_written", "deflated", "plain", "slow")

    def __init__(self, recipients: Iterable[Recipient]) -> None:
        self.plain: list[Write] = []
        self.deflated: list[Write] = []
        self.slow: list[Recipient] = []
        self._direct: DirectSockets | None = None
        self._direct_from = direct_from()
        self._has_written = False
        for recipient in recipients:
            if (write := recipient.direct_write) is not None:
                self.plain.append(write)
            elif (write := recipient.direct_write_deflated) is not None:
                self.deflated.append(write)
            else:
                self.slow.append(recipient)

    def write(self, packets: Sequence[bytes], is_measured: bool = False) -> int:
        """Writes Engine.IO text packets to every member; returns how many members there are. How long that took is
        counted, if it `is_measured`."""
        begun_s = time.perf_counter() if is_measured else 0.0
        plain = self.plain
        if plain:
            data = text_frame(packets[0]) if len(packets) == 1 else b"".join(map(text_frame, packets))
            if len(plain) >= self._direct_from:
                self._write_directly(data)
            else:
                for write in plain:
                    write(data)
            written_bytes.value += len(data) * len(plain)
        if self.deflated:
            data = b"".join(map(_compressed, packets))
            for write in self.deflated:
                write(data)
        for recipient in self.slow:
            recipient.send_texts(packets)
        if is_measured:
            fanout_seconds.observe(time.perf_counter() - begun_s)
        return len(plain) + len(self.deflated) + len(self.slow)

    def _write_directly(self, data: bytes) -> None:
        """The same to all who take plain frames. Sockets are looked up at the second write: while people join, these
        targets live for one."""
        if self._has_written and self._direct is None:
            self._direct = DirectSockets(self.plain)
        self._has_written = True
        if self._direct is not None:
            self._direct.write(data)
            return
        for write in self.plain:
            write(data)


def _compressed(packet: bytes) -> bytes:
    if len(packet) < COMPRESS_FROM_BYTES:
        return text_frame(packet)
    return frame(TEXT, compress(packet), True)
