"""The engine: python-engineio and python-socketio on our own sockets.

Owns the Engine.IO handshake, the polling requests and the taking over of WebSockets from aiohttp, by the Engine.IO
v4 document. python-socketio stays what it is above: namespaces, acknowledgements, middleware, emits. Promises that
a request is answered or closed whatever it holds, and that nothing here keeps the request of a handshake alive.

Every seam into a library is named here; `tests/delivery/test_seams.py` fails when one moves.

    python-engineio 4.15.1   AsyncServer: handle_request, sockets, handlers, generate_id, _trigger_event, _cors_headers
                             AsyncSocket: send, receive, close, closed, connected, upgraded, session,
                             check_ping_timeout (sockets.py); Packet: encode(b64=…), binary
    python-socketio 5.18.1   AsyncServer: _engineio_server_class, _handle_eio_message, _handle_connect,
                             _handle_disconnect, _handle_event, _handle_ack, _send_packet, _binary_packet
                             Packet: json, _reconstruct_binary_internal (strict.py)
                             AsyncRedisManager: initialize, thread, _listen, _publish, _handle_emit; BaseManager:
                             rooms, callbacks, pending_connect, pending_disconnect, pre_connect, basic_enter_room,
                             basic_leave_room, basic_disconnect, get_participants, get_rooms (backplane.py)
    aiohttp 3.14.5           RequestHandler: transport, connection_lost, _message_tail; a ConnectionError in
                             Response.prepare ends a request quietly (take_over, request_tail, Gone)
                             GunicornWebWorker: _run, wsgi, _notify_waiter_done (server/worker.py)
                             aiohttp._websocket.mask (frames.py)
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

import engineio
import socketio
import structlog
from aiohttp import web
from socketio import packet as socketio_packet

from gateway.delivery.carrier import Carrier
from gateway.delivery.deflate import Inflater, negotiate
from gateway.delivery.frames import TEXT, FrameParser, check_handshake, text_frame
from gateway.delivery.packets import ATTACHMENTS_MAX, MalformedPacket, check_event
from gateway.delivery.sockets import CLOSE, PING, EngineSocket, open_packet
from gateway.delivery.strict import StrictPacket
from gateway.delivery.wheel import Wheel

log = structlog.get_logger("gateway.delivery")

_INFLATER = Inflater()  # keeps nothing between messages, so one serves all connections

LINGER_S = 2.0
"""How long a closed WebSocket may take to answer the close frame, and a polling client to fetch its last packets."""

UPGRADE_S = 10.0
"""How long a probing WebSocket may take to finish its upgrade; the reference server's `upgradeTimeout`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What the engine needs to know; seconds and bytes as named."""

    worker: str = ""
    ping_interval_s: float = 25.0
    ping_timeout_s: float = 20.0
    connect_timeout_s: float | None = 10.0
    max_payload_bytes: int = 65_536
    outbound_max_bytes: int = 1_048_576
    outbound_mark_bytes: int = 262_144
    stuck_s: float = 30.0
    compression: bool = False
    origins: tuple[str, ...] = ("*",)
    trusted_proxies: tuple[str, ...] = ()


Gate = Callable[[web.Request], web.StreamResponse | None]
Passing = Callable[[web.Request, str | None], Awaitable[bool]]


class EngineServer(engineio.AsyncServer):  # type: ignore[misc]
    """Engine.IO over aiohttp, with `EngineSocket`s.

    `gate` may answer a new handshake with a refusal. `pass_on` may give a request whose session is another
    worker's to that worker; it returns whether it did.
    """

    def __init__(self, options: EngineOptions | None = None, **kwargs: Any) -> None:
        self.options = options or EngineOptions()
        origins = self.options.origins
        kwargs.update(
            async_mode="aiohttp",
            monitor_clients=False,
            cors_allowed_origins="*" if "*" in origins else list(origins),
            ping_interval=self.options.ping_interval_s,
            ping_timeout=self.options.ping_timeout_s,
            max_http_buffer_size=self.options.max_payload_bytes,
        )
        super().__init__(**kwargs)
        self.gate: Gate | None = None
        self.pass_on: Passing | None = None
        self.attachment_awaited: dict[str, Any] = {}
        self._proxies = Proxies(self.options.trusted_proxies)
        self._wheel: Wheel | None = None
        self._closing: set[asyncio.Task[None]] = set()

    # -- time

    def _lanes(self) -> Wheel:
        if self._wheel is None:
            options = self.options
            wheel = self._wheel = Wheel()
            self._pings = wheel.lane(options.ping_interval_s, self._ping_due)
            self._pongs = wheel.lane(options.ping_timeout_s, self._pong_due)
            self._stuck = wheel.lane(options.stuck_s, self._stuck_due)
            self._lingers = wheel.lane(LINGER_S, self._linger_due)
            self._upgrades_due = wheel.lane(UPGRADE_S, self._upgrade_due)
            if options.connect_timeout_s is not None:
                self._connects = wheel.lane(options.connect_timeout_s, self._connect_due)
        return self._wheel

    @property
    def wheel(self) -> Wheel:
        """The worker's wheel; needs a running loop."""
        return self._lanes()

    def schedule_ping(self, socket: EngineSocket) -> None:
        """The next heartbeat is one interval from now."""
        self._pings.add((socket, socket.beat))

    def watch_stuck(self, socket: EngineSocket) -> float:
        """Closes the socket if it is still behind at the time that is returned."""
        return self._stuck.add(socket)

    def _ping_due(self, item: tuple[EngineSocket, int], due_s: float) -> None:
        socket, beat = item
        if socket.closed or socket.beat != beat:
            return
        socket.awaits_pong = True
        socket.deadline_s = self._pongs.add(item, due_s)
        socket.send_text(PING)

    def _pong_due(self, item: tuple[EngineSocket, int], due_s: float) -> None:
        socket, beat = item
        if not socket.closed and socket.awaits_pong and socket.beat == beat:
            socket.end(self.reason.PING_TIMEOUT)

    def _stuck_due(self, socket: EngineSocket, due_s: float) -> None:
        if socket.is_behind and not socket.closed and socket.stuck_due_s == due_s:
            carrier = socket.carrier
            socket.end(self.reason.TRANSPORT_ERROR, packet=None)
            if carrier is not None:
                carrier.abort()

    def _connect_due(self, socket: EngineSocket, due_s: float) -> None:
        if not socket.connects and not socket.closed:
            socket.end(self.reason.TRANSPORT_CLOSE)

    def _linger_due(self, item: EngineSocket | Carrier, due_s: float) -> None:
        if isinstance(item, Carrier):
            item.abort()
        else:
            self.sockets.pop(item.sid, None)

    def _upgrade_due(self, carrier: Carrier, due_s: float) -> None:
        if not carrier.is_settled:
            carrier.close(1000, None)

    # -- requests

    def attach(self, app: web.Application, engineio_path: str = "engine.io") -> None:
        """Serves the engine at a path of an aiohttp application, for every method."""
        app.router.add_route("*", f"/{engineio_path.strip('/')}/", self.handle_request)

    def generate_id(self) -> str:
        """A session id: the worker's id, a dot, and 96 random bits."""
        return f"{self.options.worker}.{secrets.token_urlsafe(12)}"

    async def handle_request(self, request: web.Request) -> web.StreamResponse:
        """Answers one HTTP request of the engine."""
        self._lanes()
        origin = request.headers.get("Origin")
        if request.method == "OPTIONS":
            return self._respond(request, 200, b"OK")
        if origin is not None and not self._is_allowed(origin, request):
            return self._respond(request, 403, b'{"code":4,"message":"Origin not allowed"}')
        query = request.query
        transport, sid = query.get("transport", ""), query.get("sid")
        if transport not in self.transports:
            return self._refuse(request, 0, "Transport unknown")
        if query.get("EIO") != "4":
            return self._refuse(request, 5, "Unsupported protocol version")
        if sid is None:
            return await self._open(request, transport)
        socket: EngineSocket | None = self.sockets.get(sid)
        if socket is not None and socket.is_overdue():
            socket.end(self.reason.PING_TIMEOUT, packet=None)
            socket = None
        if socket is None:
            if self.pass_on is not None and await self.pass_on(request, sid):
                return Gone()
            return self._refuse(request, 1, "Session ID unknown")
        if transport == "websocket":
            return await self._upgrade(request, socket)
        if socket.upgraded:
            return self._refuse(request, 3, "Bad request")
        if request.method == "GET":
            return await self._poll(request, socket)
        if request.method == "POST":
            return await self._post(request, socket)
        return self._refuse(request, 2, "Bad handshake method")

    async def _open(self, request: web.Request, transport: str) -> web.StreamResponse:
        if request.method != "GET":
            return self._refuse(request, 2, "Bad handshake method")
        if self.gate is not None and (refusal := self.gate(request)) is not None:
            if self.pass_on is not None and await self.pass_on(request, None):
                return Gone()
            refusal.headers.extend(self._cors(request))
            return refusal
        sid = self.generate_id()
        socket = EngineSocket(self, sid)
        options = self.options
        upgrades = ["websocket"] if transport == "polling" and self.allow_upgrades else []
        packet = open_packet(
            sid, upgrades, options.ping_interval_s, options.ping_timeout_s, options.max_payload_bytes
        )
        if transport == "websocket":
            carrier = self._switch(request, text_frame(packet))
            if carrier is None:
                return self._refuse(request, 3, "Bad request")
            sink = cast(WebSocketSink, carrier.sink)
            sink.socket, socket.carrier, socket.upgraded = socket, carrier, True
            carrier.opened()
        else:
            socket.send_text(packet)
        self.sockets[sid] = socket
        await self._trigger_event("connect", sid, self._environ(request), run_async=False)
        self.schedule_ping(socket)
        if options.connect_timeout_s is not None:
            self._connects.add(socket)
        if socket.carrier is not None:
            socket.carrier.start(request_tail(request))
            return Gone()
        return self._respond(request, 200, await socket.poll())

    async def _poll(self, request: web.Request, socket: EngineSocket) -> web.StreamResponse:
        if socket.poller is not None:
            socket.end(self.reason.TRANSPORT_ERROR)
            return self._refuse(request, 3, "Bad request")
        if socket.upgrading:
            return self._respond(request, 200, b"6")
        try:
            payload = await socket.poll()
        except asyncio.CancelledError:
            socket.end(self.reason.TRANSPORT_CLOSE, packet=None)
            raise
        if socket.closed and not socket.outbox:
            self.sockets.pop(socket.sid, None)
        if not payload:
            return (
                self._refuse(request, 1, "Session ID unknown")
                if socket.closed
                else self._respond(request, 200, b"6")
            )
        return self._respond(request, 200, payload)

    async def _post(self, request: web.Request, socket: EngineSocket) -> web.StreamResponse:
        if socket.is_posting:
            socket.end(self.reason.TRANSPORT_ERROR)
            return self._refuse(request, 3, "Bad request")
        socket.is_posting = True
        try:
            body = await read_body(request, self.options.max_payload_bytes)
            if body is None:
                socket.end(self.reason.TRANSPORT_ERROR)
                return self._respond(request, 413, b'{"code":3,"message":"Payload too large"}')
            await socket.post(body)
        except MalformedPacket as wrong:
            log.debug("malformed_packet", reason=str(wrong))
            socket.end(self.reason.TRANSPORT_ERROR, packet=None)
            return self._refuse(request, 3, "Bad request")
        except ConnectionError:
            return Gone()
        finally:
            socket.is_posting = False
        return self._respond(request, 200, b"ok")

    async def _upgrade(self, request: web.Request, socket: EngineSocket) -> web.StreamResponse:
        if request.method != "GET":
            return self._refuse(request, 2, "Bad handshake method")
        is_second = socket.upgraded or socket.carrier is not None or socket.closed
        carrier = self._switch(request)
        if carrier is None:
            return self._refuse(request, 3, "Bad request")
        if is_second:
            carrier.close(1000, None)
        else:
            cast(WebSocketSink, carrier.sink).socket, socket.carrier = socket, carrier
            self._upgrades_due.add(carrier)
        carrier.start(request_tail(request))
        return Gone()

    def _switch(self, request: web.Request, first: bytes = b"") -> Carrier | None:
        """Answers a WebSocket handshake and takes the connection; None if it is no such handshake. The `first` frame
        leaves in the same write: a system call less per connection."""
        try:
            key = check_handshake(request.method, request.headers)
        except ValueError:
            return None
        options = self.options
        offers = ", ".join(request.headers.getall("Sec-WebSocket-Extensions", ()))
        deflate = negotiate(offers) if options.compression else None
        inflater = _INFLATER if deflate is not None else None
        parser = FrameParser(options.max_payload_bytes, inflater)
        carrier = Carrier(WebSocketSink(self), parser, deflate, options.outbound_max_bytes)
        transport = take_over(request, carrier)
        if transport is None:
            return None
        extensions = f"Sec-WebSocket-Extensions: {deflate.response_header}\r\n" if deflate is not None else ""
        transport.write(
            f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {key}\r\n{extensions}\r\n".encode()
            + first
        )
        carrier.adopt(transport, options.outbound_mark_bytes)
        return carrier

    # -- answers

    def _respond(self, request: web.Request, status: int, body: bytes) -> web.Response:
        response = web.Response(status=status, body=body, content_type="text/plain", charset="UTF-8")
        if "Origin" in request.headers:
            response.headers.extend(self._cors(request))
        response.headers["Cache-Control"] = "no-store"
        return response

    def _refuse(self, request: web.Request, code: int, message: str) -> web.Response:
        """400 with the reference server's code and words."""
        return self._respond(request, 400, b'{"code":%d,"message":"%b"}' % (code, message.encode()))

    def _is_allowed(self, origin: str, request: web.Request) -> bool:
        origins = self.options.origins
        own = f"{request.scheme}://{request.host}"
        return "*" in origins or origin in origins or origin == own

    def _cors(self, request: web.Request) -> list[tuple[str, str]]:
        environ = {"REQUEST_METHOD": request.method}
        for header in ("Origin", "Access-Control-Request-Headers"):
            if header in request.headers:
                environ["HTTP_" + header.upper().replace("-", "_")] = request.headers[header]
        return list(self._cors_headers(environ))

    def _environ(self, request: web.Request) -> dict[str, Any]:
        """What handlers may want to know of a handshake: strings only, so that the request itself can go."""
        headers = request.headers
        environ: dict[str, Any] = {
            "REQUEST_METHOD": request.method,
            "PATH_INFO": request.path,
            "QUERY_STRING": request.query_string,
            "REMOTE_ADDR": self._proxies.client(request.remote or "", headers.get("X-Forwarded-For")),
        }
        for name in ("Origin", "User-Agent", "Authorization", "Cookie"):
            if name in headers:
                environ["HTTP_" + name.upper().replace("-", "_")] = headers[name]
        return environ

    # -- from the sockets

    def expects_attachment(self, sid: str) -> bool:
        """Whether a packet of that client waits for its binary attachments."""
        return sid in self.attachment_awaited

    async def message_up(self, socket: EngineSocket, data: str | bytes) -> None:
        """Hands a message to the handler above. Raises MalformedPacket if the handler finds it so."""
        handler = self.handlers.get("message")
        if handler is not None and not socket.closed:
            await handler(socket.sid, data)

    def ended(self, socket: EngineSocket, reason: str) -> None:
        """A session ended: it is forgotten (over polling, once its last packets are fetched) and announced upward."""
        if (
            socket.outbox
            and not socket.upgraded
            and socket.poller is None
            and reason != self.reason.PING_TIMEOUT
        ):
            self._lingers.add(socket)
        else:
            self.sockets.pop(socket.sid, None)
        if "disconnect" in self.handlers:
            task = asyncio.ensure_future(
                self._trigger_event("disconnect", socket.sid, reason, run_async=False)
            )
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def linger(self, carrier: Carrier) -> None:
        """Ends a closing connection if its peer does not."""
        self._lingers.add(carrier)

    async def shutdown(self) -> None:
        """Stops the wheel and waits for announcements that are under way."""
        if self._closing:
            await asyncio.wait(self._closing, timeout=5)
        if self._wheel is not None:
            self._wheel.close()


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
        self.server.linger(carrier)


class SocketServer(socketio.AsyncServer):  # type: ignore[misc]
    """Socket.IO by python-socketio, strict where the Socket.IO v5 document is."""

    eio: EngineServer

    def __init__(self, options: EngineOptions | None = None, **kwargs: Any) -> None:
        super().__init__(options=options, serializer=StrictPacket, **kwargs)
        self.eio.attachment_awaited = self._binary_packet

    def _engineio_server_class(self) -> type[EngineServer]:
        return EngineServer

    async def _handle_eio_message(self, eio_sid: str, data: str | bytes) -> None:
        packet = self._whole_packet(eio_sid, data)
        if packet is None:
            return
        namespace = packet.namespace or "/"
        kind = packet.packet_type
        if kind == socketio_packet.CONNECT:
            if packet.data is not None and not isinstance(packet.data, dict):
                raise MalformedPacket("the data of CONNECT is an object")
            if self.manager.sid_from_eio_sid(eio_sid, namespace) is not None:
                raise MalformedPacket("a second CONNECT to a namespace")
            await self._handle_connect(eio_sid, namespace, packet.data)
            return
        if self.manager.sid_from_eio_sid(eio_sid, namespace) is None:
            raise MalformedPacket("a packet for a namespace that is not connected")
        if kind == socketio_packet.DISCONNECT:
            await self._handle_disconnect(eio_sid, namespace, self.reason.CLIENT_DISCONNECT)
        elif kind in (socketio_packet.EVENT, socketio_packet.BINARY_EVENT):
            check_event(packet.data)
            await self._handle_event(eio_sid, namespace, packet.id, packet.data)
        elif kind in (socketio_packet.ACK, socketio_packet.BINARY_ACK):
            if packet.id is None or not isinstance(packet.data, list):
                raise MalformedPacket("an acknowledgement has a number and an array")
            await self._handle_ack(eio_sid, namespace, packet.id, packet.data)
        else:
            raise MalformedPacket("not a packet that clients send")

    def _whole_packet(self, eio_sid: str, data: str | bytes) -> Any:
        """Decodes a packet; None while its attachments are still to come. Raises MalformedPacket."""
        waiting = self._binary_packet.get(eio_sid)
        try:
            if isinstance(data, bytes):
                if waiting is None:
                    raise MalformedPacket("an attachment that nothing announced")
                if not waiting.add_attachment(data):
                    return None
                del self._binary_packet[eio_sid]
                return waiting
            if waiting is not None:
                raise MalformedPacket("an attachment was announced and text came")
            packet = self.packet_class(encoded_packet=data)
        except MalformedPacket:
            raise
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise MalformedPacket(str(error)) from error
        if packet.packet_type in (socketio_packet.BINARY_EVENT, socketio_packet.BINARY_ACK):
            if packet.attachment_count > ATTACHMENTS_MAX:
                raise MalformedPacket(f"more than {ATTACHMENTS_MAX} attachments")
            if packet.attachment_count:
                self._binary_packet[eio_sid] = packet
                return None
        return packet

    async def _handle_connect(self, eio_sid: str, namespace: str, data: Any) -> None:
        """CONNECT: an unknown namespace is refused in the reference server's words."""
        is_known = namespace in self.handlers or namespace in self.namespace_handlers
        if not is_known and self.namespaces != "*" and namespace not in self.namespaces:
            refusal = self.packet_class(
                socketio_packet.CONNECT_ERROR, data={"message": "Invalid namespace"}, namespace=namespace
            )
            await self._send_packet(eio_sid, refusal)
            return
        await super()._handle_connect(eio_sid, namespace, data)
        socket = self.eio.sockets.get(eio_sid)
        if socket is not None and self.manager.sid_from_eio_sid(eio_sid, namespace) is not None:
            socket.connects += 1


class Proxies:
    """Who may speak for a client's address."""

    def __init__(self, trusted: tuple[str, ...]) -> None:
        """`trusted` are addresses or networks, or `*` for everybody; raises ValueError for anything else."""
        self._is_all = "*" in trusted
        self._networks = [ipaddress.ip_network(one, strict=False) for one in trusted if one != "*"]

    def client(self, peer: str, forwarded: str | None) -> str:
        """The client's address: the peer's, or the last address in X-Forwarded-For that no trusted proxy has."""
        address = peer
        for claimed in reversed((forwarded or "").split(",")):
            if not claimed.strip() or not self._is_trusted(address):
                break
            address = claimed.strip()
        return address

    def _is_trusted(self, address: str) -> bool:
        if self._is_all:
            return True
        try:
            return any(ipaddress.ip_address(address) in network for network in self._networks)
        except ValueError:
            return False


class Gone(web.Response):
    """What a handler returns whose connection has left aiohttp: nothing is sent, nothing is logged.

    A ConnectionError raised by a handler itself would be logged as its failure, with a traceback; one raised while
    the response is prepared counts as a client that went away.
    """

    async def prepare(self, request: web.BaseRequest) -> Any:
        raise ConnectionResetError("the connection left aiohttp")


def take_over(request: web.Request, protocol: asyncio.Protocol) -> asyncio.Transport | None:
    """Gives a request's connection to another protocol; aiohttp is told that it is lost. None if it already was.

    The transport itself changes hands, so TLS keeps working and no descriptor is duplicated (the spike's way needed
    a second accept and cost a third more CPU per handshake).
    """
    handler = request.protocol
    transport = handler.transport
    if transport is None or transport.is_closing():
        return None
    transport.set_protocol(protocol)
    handler.transport = None
    return transport


def request_tail(request: web.Request) -> bytes:
    """What came after a handshake's head, before the connection was taken over."""
    handler = request.protocol
    tail, handler._message_tail = handler._message_tail, b""
    handler.connection_lost(None)
    return bytes(tail)


async def read_body(request: web.Request, max_bytes: int) -> bytes | None:
    """A request's body; None if it is longer than allowed, or broken (its chunks, its encoding)."""
    if (request.content_length or 0) > max_bytes:
        return None
    body = bytearray()
    try:
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > max_bytes:
                return None
    except web.RequestPayloadError:
        return None
    return bytes(body)


__all__ = ["CLOSE", "EngineOptions", "EngineServer", "Gone", "SocketServer", "take_over"]
