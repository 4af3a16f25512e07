"""Members who join, on plain sockets: some at a time, each step for all of them before the next one begins."""

from __future__ import annotations

import base64
import os
import socket
import time
from collections.abc import Sequence

from loadtest.bench.seat import event_frame, text_frame

ANSWER_LIMIT_S = 30.0
COME_BACK_S = 0.25
"""Who is turned away with 503 comes back so much later."""
TRIES = 200
RECEIVE_BYTES = 65_536


class SeatError(RuntimeError):
    """A member was not let in."""


def seated(address: tuple[str, int], room: str, names: Sequence[str]) -> list[socket.socket]:
    """Connected sockets, one for each name, whose joins have been acknowledged. Raises SeatError."""
    found = _connected(address, len(names))
    for seat in found:
        seat.sendall(text_frame(b"40"))
    for seat in found:
        _read_until(seat, b"40{")
    for seat, name in zip(found, names, strict=True):
        seat.sendall(event_frame("join", {"username": name, "room": room}, 0))
    for seat in found:
        answer = _read_until(seat, b"430[")
        if b'"ok":true' not in answer:
            raise SeatError(f"a join was answered {answer[-200:]!r}")
    return found


def _connected(address: tuple[str, int], number: int) -> list[socket.socket]:
    """Sockets over which the engine's first packet has come."""
    found: list[socket.socket] = []
    for _ in range(TRIES):
        asking = [_opened(address) for _ in range(number - len(found))]
        for seat in asking:
            head = _read_until(seat, b"\r\n\r\n")
            if head.startswith(b"HTTP/1.1 101"):
                if b'"sid":"' not in head:
                    _read_until(seat, b'"sid":"')
                found.append(seat)
                continue
            seat.close()
            if not head.startswith(b"HTTP/1.1 503"):
                raise SeatError(head.partition(b"\r\n")[0].decode())
        if len(found) == number:
            return found
        time.sleep(COME_BACK_S)
    raise SeatError(f"turned away {TRIES} times")


def _opened(address: tuple[str, int]) -> socket.socket:
    seat = socket.create_connection(address, ANSWER_LIMIT_S)
    key = base64.b64encode(os.urandom(16)).decode()
    seat.sendall(
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    return seat


def _read_until(seat: socket.socket, mark: bytes) -> bytes:
    """All that comes until the mark has come."""
    got = b""
    while mark not in got:
        more = seat.recv(RECEIVE_BYTES)
        if not more:
            raise SeatError(f"the gateway closed the connection after {got[-200:]!r}")
        got += more
    return got
