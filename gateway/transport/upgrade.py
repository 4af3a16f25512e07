"""Between a WebSocket and its session: the upgrade's few packets, then straight up."""

from __future__ import annotations

from collections.abc import Awaitable

from gateway.transport.codec import MalformedPacket
from gateway.transport.connection import WebSocketConnection
from gateway.transport.options import Engine
from gateway.transport.socket import EngineSocket, Reason
from gateway.websocket.frames import TEXT


class WebSocketReceiver:
    """Between a carrier and its session: the upgrade's few packets, then straight up."""

    __slots__ = ("server", "socket")

    def __init__(self, server: Engine) -> None:
        self.server = server
        self.socket: EngineSocket | None = None

    def on_message(self, websocket: WebSocketConnection, opcode: int, data: bytes) -> Awaitable[None] | None:
        socket = self.socket
        if socket is None or socket.closed:
            return None
        if socket.upgraded:
            return socket.received(opcode, data)
        if opcode == TEXT and data == b"2probe":
            websocket.send_text(b"3probe")
            socket.begin_upgrade()
        elif opcode == TEXT and data == b"5" and socket.upgrading:
            socket.finish_upgrade()
        else:
            raise MalformedPacket("not part of an upgrade")
        return None

    def on_lost(self, websocket: WebSocketConnection) -> None:
        socket, self.socket = self.socket, None
        if socket is None or socket.websocket is not websocket:
            return
        if socket.upgraded:
            socket.end(Reason.TRANSPORT_CLOSE, packet=None)
        else:
            socket.fail_upgrade()

    def on_behind(self, websocket: WebSocketConnection) -> None:
        if self.socket is not None:
            self.socket.mark_behind()

    def on_drained(self, websocket: WebSocketConnection) -> None:
        if self.socket is not None:
            self.socket.mark_drained()

    def linger(self, websocket: WebSocketConnection) -> None:
        if self.socket is not None and self.socket.upgraded and not self.socket.closed:
            self.socket.end(Reason.TRANSPORT_ERROR, packet=None)
        self.server.times.linger(websocket)
