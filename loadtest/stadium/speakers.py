"""The few who talk, in turn, and who read every frame that they get: each of them must get every message once, in the
order of its number."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any
from zlib import crc32

from loadtest.bench.seat import PING, event_frame
from loadtest.stadium.seats import seated
from loadtest.stadium.stand import PONG

PADDING = "x" * 100
AGAIN_S = 0.3
LONG, LONGER = 126, 127


class Speaker(asyncio.Protocol):
    """One who talks."""

    def __init__(self, room: str, name: str) -> None:
        self._room, self._name = room, name
        self._transport: asyncio.Transport | None = None
        self._left = b""
        self._is_counting = False
        self.numbers: list[int] = []
        """Of the messages that came, in their order."""
        self.stream = (0, 0)
        """How many bytes their frames were, and their checksum."""
        self._said: dict[int, bytes] = {}  # what is not acknowledged yet
        self.acknowledged = self.repeated = 0
        self.surprises: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def begin(self) -> None:
        """From now on counts."""
        self._is_counting = True

    def say(self, number: int) -> None:
        """Sends a message that carries the time, and its number."""
        text = f"~~{time.monotonic():.6f} {number} {PADDING}"
        key = f"{self._name}-{number}"
        data = {"username": self._name, "room": self._room, "message": text, "idempotency_key": key}
        self._said[number] = event_frame("send", data, number)
        self._write(self._said[number])

    def data_received(self, data: bytes) -> None:
        data = self._left + data
        at = 0
        while (end := _end_of_frame(data, at)) is not None:
            self._take(data[at:end])
            at = end
        self._left = data[at:]

    def connection_lost(self, error: Exception | None) -> None:
        if self._is_counting:
            self.surprises.append(f"the connection of {self._name} ended: {error}")

    def close(self) -> None:
        """Hangs up."""
        self._is_counting = False
        if self._transport is not None:
            self._transport.abort()

    def _take(self, frame: bytes) -> None:
        if frame == PING:
            self._write(PONG)
            return
        payload = frame[2 if frame[1] < LONG else 4 if frame[1] == LONG else 10 :]
        name, _, rest = payload.partition(b"[")
        if name == b"42" and rest.startswith(b'"receive"') and self._is_counting:
            count, checksum = self.stream
            self.stream = count + len(frame), crc32(frame, checksum)
            self.numbers.append(int(json.loads(payload[2:])[1]["message"].split(" ")[1]))
        elif name.startswith(b"43"):
            self._answered(int(name[2:]), json.loads(payload[len(name) :])[0])
        elif payload.startswith(b'42["error"') and b'"retryable":true' in payload:
            pass  # the answer says so, too
        elif self._is_counting:
            self.surprises.append(f"{self._name} got {payload[:200]!r}")

    def _answered(self, number: int, answer: dict[str, Any]) -> None:
        """What was refused for now is said again, as every client should."""
        if answer.get("ok"):
            self.acknowledged += self._said.pop(number, None) is not None
        elif answer.get("retryable"):
            self.repeated += 1
            asyncio.get_running_loop().call_later(AGAIN_S, self._write, self._said[number])
        else:
            self.surprises.append(f"{self._name} was answered {answer}")

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


def _end_of_frame(data: bytes, at: int) -> int | None:
    """Where the frame that begins there ends; None if it has not all come. A server's frames have no mask."""
    if len(data) < at + 2:
        return None
    size, head = data[at + 1], 2
    if size == LONG:
        size, head = int.from_bytes(data[at + 2 : at + 4], "big"), 4
    elif size == LONGER:
        size, head = int.from_bytes(data[at + 2 : at + 10], "big"), 10
    end = at + head + size
    return end if len(data) >= end else None


async def speakers(address: tuple[str, int], room: str, number: int) -> list[Speaker]:
    """Speakers who have joined."""
    names = [f"speaker-{which}" for which in range(number)]
    sockets = await asyncio.to_thread(seated, address, room, names)
    found = []
    for name, each in zip(names, sockets, strict=True):
        each.setblocking(False)
        _, speaker = await asyncio.get_running_loop().create_connection(
            lambda name=name: Speaker(room, name),  # type: ignore[misc]
            sock=each,
        )
        found.append(speaker)
    return found
