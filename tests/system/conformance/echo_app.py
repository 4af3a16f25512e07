"""The engine with echo handlers, for conformance runs: no rooms, no Redis, the product's own code beneath.

    python -m tests.system.conformance.echo_app --port 3000 --protocol engine.io|socket.io

`engine.io` at /engine.io/ sends every message back. `socket.io` at /socket.io/, namespaces / and /custom:
`auth` with the client's auth object on connect, `message` comes back as `message-back`, `message-with-ack` comes
back as the acknowledgement, and `ask` is asked back as `question`, whose acknowledgement comes back as `answer`.
A plain WebSocket echo is at /echo. Writes one line, `listening on <port>`, when connections are accepted.

Without options a session is pinged every 300 ms and has 200 ms to answer, a payload has at most 1,000,000 bytes,
and who has not entered a namespace within 1,000 ms is closed: what the protocols' own suites expect of a server.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Awaitable
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiohttp import web

from gateway.interfaces import HandshakeGate
from gateway.option_groups import EngineOptions, LogOptions
from gateway.protocol import acknowledgement_packet, event_packet
from gateway.server import logs
from gateway.socketio.server import SocketServer
from gateway.transport.connection import WebSocketConnection
from gateway.transport.frame_writer import as_protocol
from gateway.transport.hijack import Hijacked, hijack, request_tail
from gateway.transport.server import EngineServer
from gateway.transport.socket import EngineSocket
from gateway.websocket.deflate import Inflater, compress, negotiate
from gateway.websocket.frames import TEXT, FrameParser, frame
from gateway.websocket.handshake import check_handshake

NAMESPACES = ("/", "/custom")
RAW_MAX_BYTES = 32 * 1024 * 1024
"""Longest message of the plain echo; the Autobahn cases send up to 16 MiB."""


@dataclass(frozen=True, slots=True)
class Times:
    """How long a session waits: between pings, for a pong, and (Socket.IO only) for the first CONNECT."""

    ping_interval_s: float = 0.3
    ping_timeout_s: float = 0.2
    connect_timeout_s: float = 1.0


def create_app(
    protocol: str,
    is_compressed: bool,
    times: Times,
    worker: str = "",
    gate: HandshakeGate | None = None,
) -> tuple[web.Application, EngineServer]:
    """The application and the engine beneath it; `protocol` is `engine.io` or `socket.io`."""
    app = web.Application()
    options = EngineOptions(
        worker=worker,
        ping_interval_s=times.ping_interval_s,
        ping_timeout_s=times.ping_timeout_s,
        connect_timeout_s=None if protocol == "engine.io" else times.connect_timeout_s,
        compression=is_compressed,
        max_payload_bytes=1_000_000,
        outbound_max_bytes=16_000_000,
        outbound_mark_bytes=4_000_000,
    )
    if protocol == "engine.io":
        engine = _engine_echo(options, gate)
        engine.attach(app, "engine.io")
    else:
        server = _socket_echo(options, gate)
        engine = server.eio
        server.attach(app, "socket.io")
    app.router.add_get("/echo", RawEcho(engine).handle)
    app.on_shutdown.append(lambda _: engine.shutdown())
    return app, engine


def _engine_echo(options: EngineOptions, gate: HandshakeGate | None) -> EngineServer:
    engine = EngineServer(options, gate=gate)

    async def echo(sid: str, data: str | bytes) -> None:
        await engine.send(sid, data)

    engine.on("message", echo)
    return engine


def _socket_echo(options: EngineOptions, gate: HandshakeGate | None) -> SocketServer:
    server = SocketServer(options, namespaces=list(NAMESPACES), always_connect=True, gate=gate)
    for namespace in NAMESPACES:
        _echo_in(server, namespace)
    return server


def _echo_in(server: SocketServer, namespace: str) -> None:
    """Registers the handlers of one namespace; text events of `/` take the short way instead."""

    async def connect(sid: str, environ: dict[str, Any], auth: Any = None) -> None:
        if namespace == "/":
            engine_socket = server.eio.sockets[server.manager.eio_sid_from_sid(sid, namespace)]
            engine_socket.events = ShortWay(server, sid, engine_socket)
        await server.emit("auth", auth or {}, to=sid, namespace=namespace)

    async def disconnect(sid: str, reason: str) -> None:
        if namespace == "/" and (
            engine_socket := server.eio.sockets.get(server.manager.eio_sid_from_sid(sid, "/"))
        ):
            engine_socket.events = None

    async def message(sid: str, *arguments: Any) -> None:
        await server.emit("message-back", arguments, to=sid, namespace=namespace)

    async def message_with_ack(sid: str, *arguments: Any) -> Any:
        return arguments

    async def ask(sid: str, *arguments: Any) -> None:
        async def answered(*answer: Any) -> None:
            await server.emit("answer", answer, to=sid, namespace=namespace)

        await server.emit("question", arguments, to=sid, namespace=namespace, callback=answered)

    for handler in (connect, disconnect, message, message_with_ack, ask):
        server.on(handler.__name__.replace("_", "-"), handler, namespace=namespace)


class ShortWay:
    """Takes the text events of `/` as a chat session does, past python-socketio."""

    def __init__(self, server: SocketServer, sid: str, socket: EngineSocket) -> None:
        self._server, self._sid, self._socket = server, sid, socket

    def on_event(self, name: Any, arguments: list[Any], ack: int | None) -> Awaitable[None] | None:
        """`message` and `message-with-ack` are answered at once, unless they hold attachments; the rest by the long
        way's handler."""
        data = _json(arguments) if name in ("message", "message-with-ack") else None
        if data is None:
            return self._server._handle_event(self._socket.sid, "/", ack, [name, *arguments])  # type: ignore[no-any-return]
        if name == "message":
            packet = event_packet("message-back", data[1:-1]) if arguments else b'42["message-back"]'
            self._socket.send_text(packet)
        elif ack is not None:
            self._socket.send_text(acknowledgement_packet(ack, data[1:-1]))
        return None

    def on_behind(self) -> None:
        """An echo may wait."""

    def on_drained(self) -> None:
        """An echo may wait."""

    def on_connected(self, data: Any) -> None:
        """Nothing."""

    def on_transport_changed(self) -> None:
        """The socket finds its way by itself."""


class RawEcho:
    """Every message back, on the engine's frame layer and nothing above it."""

    def __init__(self, engine: EngineServer) -> None:
        self._engine = engine

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answers the WebSocket handshake and takes the connection from aiohttp."""
        try:
            key = check_handshake(request.method, request.headers)
        except ValueError:
            return web.Response(status=400)
        offer = request.headers.get("Sec-WebSocket-Extensions")
        deflate = negotiate(offer) if self._engine.options.compression else None
        parser = FrameParser(RAW_MAX_BYTES, Inflater() if deflate is not None else None)
        websocket = WebSocketConnection(self, parser, deflate, 2 * RAW_MAX_BYTES, self._engine.turns)
        transport = hijack(request, as_protocol(websocket))
        if transport is None:
            return Hijacked()
        extensions = f"Sec-WebSocket-Extensions: {deflate.response_header}\r\n" if deflate is not None else ""
        transport.write(
            f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {key}\r\n{extensions}\r\n".encode()
        )
        _ = self._engine.times
        websocket.adopt(transport, RAW_MAX_BYTES)
        websocket.opened()
        websocket.start(request_tail(request))
        return Hijacked()

    def on_message(self, websocket: WebSocketConnection, opcode: int, data: bytes) -> None:
        """Sends it back; if compression was agreed on, short messages are compressed too."""
        if websocket.window_bits:
            websocket.send_frames(frame(opcode, compress(data, websocket.window_bits), True))
        elif opcode == TEXT:
            websocket.send_text(data)
        else:
            websocket.send_binary(data)

    def on_lost(self, websocket: WebSocketConnection) -> None:
        """Nothing was kept."""

    def on_behind(self, websocket: WebSocketConnection) -> None:
        """An echo may wait."""

    def on_drained(self, websocket: WebSocketConnection) -> None:
        """An echo may wait."""

    def on_close_sent(self, websocket: WebSocketConnection) -> None:
        """The engine ends the connection if its peer does not."""
        self._engine.times.linger(websocket)


async def _serve(app: web.Application, listener: socket.socket) -> None:
    """Serves until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    announce(listener.getsockname()[1])
    await stopped.wait()
    await runner.cleanup()


def announce(port: int) -> None:
    """Tells whoever started the app that connections are accepted."""
    print(f"listening on {port}", flush=True)


def _end_with_parent() -> None:
    """Ends this process as SIGTERM does once standard input is closed, even if whoever held it was killed."""

    def wait() -> None:
        sys.stdin.buffer.read()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def _json(value: Any) -> bytes | None:
    try:
        return json.dumps(value, separators=(",", ":")).encode()
    except TypeError:  # it holds bytes
        return None


def _loop_factory(name: str) -> Any:
    if name == "asyncio":
        return asyncio.new_event_loop
    import uvloop

    return uvloop.new_event_loop


def _read_options() -> argparse.Namespace:
    usual = Times()
    parser = argparse.ArgumentParser(description="The engine with echo handlers, for conformance runs.")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--protocol", choices=("engine.io", "socket.io"), required=True)
    parser.add_argument("--workers", type=int, default=0, help="of gunicorn; 0: one process without it")
    for name, default_s in (
        ("--ping-interval", usual.ping_interval_s),
        ("--ping-timeout", usual.ping_timeout_s),
        ("--connect-timeout", usual.connect_timeout_s),
    ):
        parser.add_argument(name, type=float, default=default_s, metavar="S", help=f"default {default_s:g}")
    parser.add_argument("--compression", action="store_true", help="negotiate permessage-deflate")
    parser.add_argument("--loop", choices=("uvloop", "asyncio"), default="uvloop")
    parser.add_argument("--with-parent", action="store_true", help="end when standard input is closed")
    return parser.parse_args()


def main() -> None:
    """Reads the command line and serves."""
    options = _read_options()
    if options.with_parent:
        _end_with_parent()
    logs.configure(LogOptions(format="console"))
    times = Times(options.ping_interval, options.ping_timeout, options.connect_timeout)
    build = partial(create_app, options.protocol, options.compression, times)
    if options.workers:
        from tests.system.conformance.echo_workers import serve  # only this needs the whole gateway

        serve(build, options.port, options.workers, announce)
        return
    app, _ = build()
    listener = socket.create_server(("127.0.0.1", options.port), backlog=1024)
    with asyncio.Runner(loop_factory=_loop_factory(options.loop)) as runner:
        runner.run(_serve(app, listener))


if __name__ == "__main__":
    main()
