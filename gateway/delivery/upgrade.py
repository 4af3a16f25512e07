"""Between a WebSocket and its session: the upgrade's few packets, then straight up."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

from gateway.delivery.carrier import Carrier
from gateway.delivery.frames import TEXT
from gateway.delivery.packets import MalformedPacket
from gateway.delivery.sockets import EngineSocket

if TYPE_CHECKING:
    from gateway.delivery.engine import EngineServer


class WebSocketSink:
    """Between a carrier and its session: the upgrade's few packets, then straight up."""

    __slots__ = ("server", "socket")

    def __init__(self, server: EngineServer) -> None:
        self.server = server
        self.socket: EngineSocket | None = None

    def on_message(self, carrier: Carrier, opcode: int, data: bytes) -> Awaitable[None] | None:
        socket = self.socket
        if socket is None or socket.closed:
            return None
        if socket.upgraded:
            return socket.received(opcode, data)
        if opcode == TEXT and data == b"2probe":
            carrier.send_text(b"3probe")
            socket.begin_upgrade()
        elif opcode == TEXT and data == b"5" and socket.upgrading:
            socket.finish_upgrade()
        else:
            raise MalformedPacket("not part of an upgrade")
        return None

    def on_lost(self, carrier: Carrier) -> None:
        socket, self.socket = self.socket, None
        if socket is None or socket.carrier is not carrier:
            return
        if socket.upgraded:
            socket.end(self.server.reason.TRANSPORT_CLOSE, packet=None)
        else:
            socket.fail_upgrade()

    def on_behind(self, carrier: Carrier) -> None:
        if self.socket is not None:
            self.socket.mark_behind()

    def on_drained(self, carrier: Carrier) -> None:
        if self.socket is not None:
            self.socket.mark_drained()

    def linger(self, carrier: Carrier) -> None:
        if self.socket is not None and self.socket.upgraded and not self.socket.closed:
            self.socket.end(self.server.reason.TRANSPORT_ERROR, packet=None)
        self.server.times.linger(carrier)
