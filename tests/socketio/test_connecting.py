"""CONNECT over a WebSocket: its answer, and what the client is told at once, leave in one write."""

from __future__ import annotations

import socket as sockets
from collections.abc import Awaitable
from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest
from socketio.exceptions import ConnectionRefusedError as Refused

from gateway.option_groups import EngineOptions
from gateway.socketio.server import SocketServer
from gateway.transport.socket import EngineSocket
from gateway.websocket.frames import TEXT
from tests.support.websocket_pairs import Pair, pair_of


class Welcoming:
    """Says `welcome` to a client whose CONNECT was answered, and keeps what had left before."""

    def __init__(self, socket: EngineSocket, pair: Pair, fails: bool) -> None:
        self._socket = socket
        self._pair = pair
        self._fails = fails
        self.had_left = b"?"

    def on_connected(self, data: Any) -> Awaitable[None] | None:
        self.had_left = arrived(self._pair)
        if self._fails:
            raise RuntimeError("it fails")
        self._socket.send_text(b'42["welcome"]')
        return None

    def on_event(self, name: Any, arguments: list[Any], ack: int | None) -> Awaitable[None] | None:
        return None

    def on_behind(self) -> None: ...

    def on_drained(self) -> None: ...

    def on_transport_changed(self) -> None: ...


def arrived(pair: Pair) -> bytes:
    """What the client could read at this moment; its own loop has had no chance to."""
    client: sockets.socket = pair.writer.get_extra_info("socket")
    end = sockets.fromfd(client.fileno(), client.family, client.type)
    try:
        return end.recv(4096, sockets.MSG_PEEK | sockets.MSG_DONTWAIT)
    except BlockingIOError:
        return b""
    finally:
        end.close()


async def connect(pair: Pair, *, fails: bool = False) -> Welcoming:
    """A session over the WebSocket sends CONNECT."""
    server = SocketServer(EngineOptions(worker="w"), namespaces=["/"])
    socket = EngineSocket(server.eio, "w.sid")
    socket.open_over_websocket(pair.websocket)
    server.eio.sockets[socket.sid] = socket
    server.environ[socket.sid] = {}
    socket.events = welcoming = Welcoming(socket, pair, fails)
    waits = socket.received(TEXT, b"40")
    assert waits is not None
    with pytest.raises(RuntimeError) if fails else nullcontext():
        await waits
    return welcoming


async def lets_in(sid: str, environ: dict[str, str], auth: Any = None) -> None:
    """Lets in whom it is not told to refuse."""
    if auth == {"refuse": "with data"}:
        raise Refused("You may not.", {"code": "forbidden"})
    if auth == {"refuse": "system"}:
        raise ConnectionRefusedError


@pytest.mark.parametrize("data", [b"", b"{}", b'{"a":1}', b'{"refuse":"with data"}', b'{"refuse":"system"}'])
async def test_the_straight_way_answers_what_python_socketio_answers(data: bytes) -> None:
    answers = []
    for is_straight in (True, False):
        async with pair_of() as pair:
            server = SocketServer(EngineOptions(worker="w"), namespaces=["/"])
            server.let_in(lets_in)
            if not is_straight:
                server.on("connect", partial(lets_in))
            socket = EngineSocket(server.eio, "w.sid")
            socket.open_over_websocket(pair.websocket)
            server.eio.sockets[socket.sid] = socket
            server.environ[socket.sid] = {}
            waits = socket.received(TEXT, b"40" + data)
            assert waits is not None
            await waits
            sid = server.manager.sid_from_eio_sid("w.sid", "/")
            (answer,) = await packets(pair, 1)
            answers.append(answer.replace(sid.encode(), b"SID") if sid is not None else answer)
            assert server.manager.is_connected(sid, "/") == (b"refuse" not in data)
            assert not server.manager.pending_connect
            assert (sid is None) == (b"refuse" in data)
    assert answers[0] == answers[1]
    assert answers[0].startswith(b"44" if b"refuse" in data else b'40{"sid":"SID"}')


async def packets(pair: Pair, count: int) -> list[bytes]:
    return [(await pair.frame())[1] for _ in range(count)]


async def test_the_answer_to_connect_leaves_with_what_the_client_is_told_at_once() -> None:
    async with pair_of() as pair:
        welcoming = await connect(pair)
        assert welcoming.had_left == b""
        answer, welcome = await packets(pair, 2)
        assert answer.startswith(b"40{")
        assert welcome == b'42["welcome"]'


async def test_nothing_is_held_back_when_telling_the_client_fails() -> None:
    async with pair_of() as pair:
        await connect(pair, fails=True)
        assert (await packets(pair, 1))[0].startswith(b"40{")
        pair.websocket.send_text(b"4later")
        assert await packets(pair, 1) == [b"4later"]
