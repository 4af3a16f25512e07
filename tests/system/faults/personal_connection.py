"""A connection of somebody who must know at once what comes over it, and who may stop to read.

Owns what is between the socket and that person; keeps nothing itself.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Protocol

import orjson

from tests.support.clients import Member

BUFFER_BYTES = 131_072
"""What the system keeps for somebody who does not read: small, but above loopback's segments of 64 KiB."""


class Events(Protocol):
    """Who is told what comes over a connection, the moment it comes."""

    def on_event(self, name: str, data: dict[str, Any]) -> None:
        """An event came."""

    def on_end(self) -> None:
        """The session has ended; told once."""


class PersonalConnection(Member):
    """A Member that tells of events, answers and its end the moment they arrive."""

    def __init__(self, url: str, events: Events) -> None:
        super().__init__(url)
        self._events = events
        self._answers: dict[int, Callable[[Any], None]] = {}

    @property
    def worker(self) -> str:
        """The id of the worker that holds the session."""
        return self.sid.partition(".")[0]

    @property
    def local_port(self) -> int:
        """The port of its own end."""
        return int(self._transport().get_extra_info("sockname")[1])

    async def post(self, event: str, data: Any, on_answer: Callable[[Any], None]) -> None:
        """Emits; the acknowledgement is given to `on_answer`. Raises ConnectionError."""
        number = next(self._numbers)
        self._answers[number] = on_answer
        await self.send_packet(f"42{number}{orjson.dumps([event, data]).decode()}")

    def stop_reading(self) -> None:
        """Leaves what comes in the socket's buffers, as a stuck browser tab does."""
        transport = self._transport()
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        transport.pause_reading()

    def go_on_reading(self) -> None:
        """Reads again."""
        self._transport().resume_reading()

    def _transport(self) -> Any:
        assert self._socket is not None, "only a WebSocket can stop reading"
        connection = self._socket._conn  # aiohttp 3.14 has no public way to it
        assert connection is not None, "the connection is closed"
        return connection.transport

    def _take_event(self, name: str, data: Any = None, *more: Any) -> None:
        self._events.on_event(name, data)

    def _take_acknowledgement(self, number: int, arguments: list[Any]) -> None:
        on_answer = self._answers.pop(number, None)
        if on_answer is not None:
            on_answer(arguments[0] if arguments else None)

    def _end(self) -> None:
        if not self.closed.is_set():
            self._events.on_end()
        super()._end()
