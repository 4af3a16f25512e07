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
                             GunicornWebWorker: _run, wsgi, _notify_waiter_done, _wait_next_notify (server/worker.py)
                             aiohttp._websocket.mask (frames.py)
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

import engineio
import structlog
from aiohttp import web

from gateway.admission import AdmissionControl
from gateway.settings import EngineOptions
from gateway.transport.codec import MalformedPacket, open_packet
from gateway.transport.connection import WebSocketConnection
from gateway.transport.heartbeats import Heartbeats
from gateway.transport.hijack import Hijacked, hijack, read_body, request_tail
from gateway.transport.proxies import Proxies
from gateway.transport.socket import EngineSocket
from gateway.transport.upgrade import WebSocketReceiver
from gateway.websocket.deflate import Inflater, negotiate
from gateway.websocket.frames import FrameParser, check_handshake, text_frame

log = structlog.get_logger("gateway.transport")

_INFLATER = Inflater()  # keeps nothing between messages, so one serves all connections

Gate = Callable[[web.Request], Awaitable[web.StreamResponse | None]]
Passing = Callable[[web.Request, str | None], Awaitable[bool]]


class EngineServer(engineio.AsyncServer):  # type: ignore[misc]
    """Engine.IO over aiohttp, with `EngineSocket`s.

    `gate` may hold up a new handshake, or answer it with a refusal. `pass_on` may give a request whose session is
    another worker's to that worker; it returns whether it did.
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
        self.admission = AdmissionControl()
        self.attachment_awaited: dict[str, Any] = {}
        self._proxies = Proxies(self.options.trusted_proxies)
        self._times: Heartbeats | None = None
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def times(self) -> Heartbeats:
        """The heartbeats and time-outs of all sessions; needs a running loop when it is first asked for."""
        if self._times is None:
            self._times = Heartbeats(self.options, self.sockets)
        return self._times

    # -- requests

    def attach(self, app: web.Application, engineio_path: str = "engine.io") -> None:
        """Serves the engine at a path of an aiohttp application, for every method."""
        app.router.add_route("*", f"/{engineio_path.strip('/')}/", self.handle_request)

    def generate_id(self) -> str:
        """A session id: the worker's id, a dot, and 96 random bits."""
        return f"{self.options.worker}.{secrets.token_urlsafe(12)}"

    async def handle_request(self, request: web.Request) -> web.StreamResponse:
        """Answers one HTTP request of the engine."""
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
                return Hijacked()
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
        if self.gate is not None and (refusal := await self.gate(request)) is not None:
            if self.pass_on is not None and await self.pass_on(request, None):
                return Hijacked()
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
            websocket = self._switch(request, text_frame(packet))
            if websocket is None:
                return self._refuse(request, 3, "Bad request")
            receiver = cast(WebSocketReceiver, websocket.receiver)
            receiver.socket, socket.websocket, socket.upgraded = socket, websocket, True
            websocket.opened()
        else:
            socket.send_text(packet)
        self.sockets[sid] = socket
        await self._trigger_event("connect", sid, self._environ(request), run_async=False)
        self.times.opened(socket)
        if socket.websocket is not None:
            socket.websocket.start(request_tail(request))
            return Hijacked()
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
            log.debug("packet_malformed", reason=str(wrong))
            socket.end(self.reason.TRANSPORT_ERROR, packet=None)
            return self._refuse(request, 3, "Bad request")
        except ConnectionError:
            return Hijacked()
        finally:
            socket.is_posting = False
        return self._respond(request, 200, b"ok")

    async def _upgrade(self, request: web.Request, socket: EngineSocket) -> web.StreamResponse:
        if request.method != "GET":
            return self._refuse(request, 2, "Bad handshake method")
        is_second = socket.upgraded or socket.websocket is not None or socket.closed
        websocket = self._switch(request)
        if websocket is None:
            return self._refuse(request, 3, "Bad request")
        if is_second:
            websocket.close(1000, None)
        else:
            cast(WebSocketReceiver, websocket.receiver).socket, socket.websocket = socket, websocket
            self.times.watch_upgrade(websocket)
        websocket.start(request_tail(request))
        return Hijacked()

    def _switch(self, request: web.Request, first: bytes = b"") -> WebSocketConnection | None:
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
        websocket = WebSocketConnection(WebSocketReceiver(self), parser, deflate, options.outbound_max_bytes)
        transport = hijack(request, websocket)
        if transport is None:
            return None
        extensions = f"Sec-WebSocket-Extensions: {deflate.response_header}\r\n" if deflate is not None else ""
        transport.write(
            f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {key}\r\n{extensions}\r\n".encode()
            + first
        )
        websocket.adopt(transport, options.outbound_mark_bytes)
        return websocket

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
        if not socket.connects and (waits := self.admission.acquire()) is not None:
            await waits
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
            self.times.linger(socket)
        else:
            self.sockets.pop(socket.sid, None)
        if "disconnect" in self.handlers:
            self.admission.do(partial(self._announce_end, socket.sid, reason))

    def _announce_end(self, sid: str, reason: str) -> None:
        task = asyncio.ensure_future(self._trigger_event("disconnect", sid, reason, run_async=False))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def shutdown(self) -> None:
        """Waits for announcements that are under way, then stops the wheel and ends what lingers."""
        self.admission.flush()
        if self._closing:
            await asyncio.wait(self._closing, timeout=5)
        if self._times is not None:
            self._times.close()
