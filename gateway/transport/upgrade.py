"""From an HTTP request to the WebSocket of a session: the handshake, and the few packets of an upgrade.

Owns what a WebSocket may say before it carries its session: `2probe`, which is answered, then `5`. From then on its
messages go straight to the session.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable
from typing import Final

from aiohttp import web

from gateway.interfaces import Deadlines
from gateway.option_groups import EngineOptions
from gateway.transport.codec import MalformedPacket
from gateway.transport.connection import WebSocketConnection
from gateway.transport.frame_writer import as_protocol
from gateway.transport.hijack import hijack
from gateway.transport.library_socket import Reason, SocketState
from gateway.transport.socket import EngineSocket
from gateway.transport.turns import Turns
from gateway.websocket.deflate import Inflater, negotiate
from gateway.websocket.frames import TEXT, FrameParser
from gateway.websocket.handshake import check_handshake

_INFLATER = Inflater()  # keeps nothing between messages, so one serves all connections
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)  # RFC 9110 section 5.6.2
_WEBSOCKET: Final = SocketState.WEBSOCKET  # read for every message, and a global name is found fastest


class UpgradingListener:
    """Listens to one WebSocket for its session; without a session it only sees to the end of the connection."""

    __slots__ = ("_socket", "_times")

    def __init__(self, times: Deadlines, socket: EngineSocket | None) -> None:
        self._times = times
        self._socket = socket

    def on_message(self, websocket: WebSocketConnection, opcode: int, data: bytes) -> Awaitable[None] | None:
        socket = self._socket
        if socket is None:
            return None
        if socket.state is _WEBSOCKET:
            return socket.received(opcode, data)
        if socket.closed:
            return None
        if opcode == TEXT and data == b"2probe":
            websocket.send_text(b"3probe")
            socket.begin_upgrade()
        elif opcode == TEXT and data == b"5" and socket.state is SocketState.UPGRADING:
            socket.finish_upgrade()
        else:
            raise MalformedPacket("not part of an upgrade")
        return None

    def on_lost(self, websocket: WebSocketConnection) -> None:
        socket, self._socket = self._socket, None
        if socket is None or socket.websocket is not websocket:
            return
        if socket.state is _WEBSOCKET:
            socket.end(Reason.TRANSPORT_CLOSE, packet=None)
        else:
            socket.fail_upgrade()

    def on_behind(self, websocket: WebSocketConnection) -> None:
        if self._socket is not None:
            self._socket.mark_behind()

    def on_drained(self, websocket: WebSocketConnection) -> None:
        if self._socket is not None:
            self._socket.mark_drained()

    def on_close_sent(self, websocket: WebSocketConnection) -> None:
        if self._socket is not None and self._socket.state is _WEBSOCKET:
            self._socket.end(Reason.TRANSPORT_ERROR, packet=None)
        self._times.linger(websocket)


def accept_websocket(
    request: web.Request,
    options: EngineOptions,
    turns: Turns,
    listener: UpgradingListener,
    first: bytes = b"",
) -> WebSocketConnection | None:
    """Answers a WebSocket handshake and takes the connection out of aiohttp; None if it is no such handshake.

    The frame `first` leaves in the same write: a system call less per connection.
    """
    try:
        key = check_handshake(request.method, request.headers)
    except ValueError:
        return None
    offers = ", ".join(request.headers.getall("Sec-WebSocket-Extensions", ()))
    deflate = negotiate(offers) if options.compression else None
    parser = FrameParser(options.max_payload_bytes, _INFLATER if deflate is not None else None)
    websocket = WebSocketConnection(listener, parser, deflate, options.outbound_max_bytes, turns)
    transport = hijack(request, as_protocol(websocket))
    if transport is None:
        return None
    extensions = deflate.response_header if deflate is not None else None
    transport.write(_switching_protocols(key, extensions, _subprotocol(request)) + first)
    websocket.adopt(transport, options.outbound_mark_bytes)
    return websocket


def _subprotocol(request: web.Request) -> str | None:
    """The first sub-protocol that a client offers, as the reference server takes it: a browser that offers some gives
    up when none is chosen (RFC 6455 section 4.1). It changes nothing here."""
    offered = ",".join(request.headers.getall("Sec-WebSocket-Protocol", ())).split(",")[0].strip()
    return offered if _TOKEN.fullmatch(offered) else None


def _switching_protocols(key: str, extensions: str | None, subprotocol: str | None) -> bytes:
    agreed = f"Sec-WebSocket-Extensions: {extensions}\r\n" if extensions is not None else ""
    if subprotocol is not None:
        agreed += f"Sec-WebSocket-Protocol: {subprotocol}\r\n"
    return (
        f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {key}\r\n{agreed}\r\n"
    ).encode()
