"""What the workers of one host ask each other, over the sockets by which they pass connections.

A connection that begins with `?` brings a word in place of a descriptor, and takes the answer. All are asked at once,
and each has `ASK_S`: a worker that stands still costs the one who asks that time, and no more.
"""

from __future__ import annotations

import asyncio
import socket
from enum import Enum, auto
from pathlib import Path

from gateway.server.passing import QUESTION

ASK_S = 0.25
"""Longest wait for an answer: a worker that turns has answered by then."""

ANSWER_BYTES = 4 * 1024 * 1024
"""Longest answer that is read: 400 series are 40 KB."""


class NoAnswer(Enum):
    """Why there is none."""

    GONE = auto()
    """Nobody listens: the worker has ended."""
    SILENT = auto()
    """It listens, and did not answer in time."""


async def ask(folder: Path, worker: str, word: bytes) -> bytes | NoAnswer:
    """What a worker answers."""
    loop = asyncio.get_running_loop()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as way:
            way.setblocking(False)
            async with asyncio.timeout(ASK_S):
                await loop.sock_connect(way, str(folder / f"{worker}.sock"))
                await loop.sock_sendall(way, QUESTION + word)
                return await _read(way) or NoAnswer.SILENT
    except (FileNotFoundError, ConnectionRefusedError):
        return NoAnswer.GONE
    except (OSError, TimeoutError):
        return NoAnswer.SILENT


async def _read(way: socket.socket) -> bytes:
    """All until the end; nothing, if that is too long."""
    loop, read = asyncio.get_running_loop(), bytearray()
    while chunk := await loop.sock_recv(way, 65_536):
        read += chunk
        if len(read) > ANSWER_BYTES:
            return b""
    return bytes(read)
