"""What a worker answers when it is asked what the Admin UI shows of a server (`chat/inspection.py` asks it).

Owns which numbers those are: what metrics count anyway, and how many connections there are. Nothing is counted for it,
and nothing is looked up unless somebody asks.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Mapping, Sized
from typing import Any

from gateway import metrics
from gateway.chat.control import Word
from gateway.transport.socket import EngineSocket

SERVER = "server"
"""What such a question is about."""

PIECE = 1000
"""Connections that are looked at in one turn of the event loop."""


class Facts:
    """Answers for one worker."""

    def __init__(self, sockets: Mapping[str, EngineSocket], sizes: Mapping[str, Sized]) -> None:
        """`sockets` are the engine's sessions; `sizes` has who is in each namespace."""
        self._sockets = sockets
        self._sizes = sizes
        self._host = socket.gethostname()
        self._began_s = time.monotonic()

    async def told(self, word: Word) -> dict[str, Any]:
        """The answer."""
        sockets = list(self._sockets.values())
        polling = 0
        for at in range(0, len(sockets), PIECE):
            polling += sum(each.websocket is None for each in sockets[at : at + PIECE])
            await asyncio.sleep(0)
        return {
            "host": self._host,
            "pid": os.getpid(),
            "uptime_s": round(time.monotonic() - self._began_s, 1),
            "clients": len(sockets),
            "polling": polling,
            "namespaces": {name: len(here) for name, here in self._sizes.items()},
            "counted": counted(),
        }


def counted() -> list[tuple[str, str | None, float]]:
    """What happened since the start: the UI's type and sub-type, and how often. Bytes that were read are not
    counted anywhere."""
    opened = dict(metrics.connects.samples())[("ok",)]
    return [
        ("rawConnection", None, opened),
        *(("rawDisconnection", why.replace("_", " "), count) for (why,), count in metrics.disconnects.samples()),
        ("packetsIn", None, metrics.frames_read.value + metrics.packets_read.value),
        ("packetsOut", None, metrics.delivered.value),
        ("bytesOut", None, metrics.written_bytes.value),
    ]  # fmt: skip
