"""The engine: Engine.IO sessions over aiohttp, under python-engineio's surface.

Owns the sessions of a worker and which request reaches which of them, by the Engine.IO v4 document. python-socketio
stays what it is above: namespaces, acknowledgements, middleware, emits. Promises that a request is answered or closed
whatever it holds, and that nothing here keeps the request of a handshake alive.

Every seam into a library is named here; `tests/socketio/test_seams.py` fails when one moves.

    python-engineio 4.15.1   AsyncServer: handle_request, sockets, handlers, transports, allow_upgrades, reason, attach,
                             generate_id, _trigger_event (server.py)
                             AsyncSocket: send, receive, close, closed, closing, connected, upgraded, upgrading,
                             session, check_ping_timeout (library_socket.py); Packet: encode(b64=…), binary (codec.py)
    python-socketio 5.18.1   AsyncServer: _engineio_server_class, _handle_eio_message, _handle_connect,
                             _handle_disconnect, _handle_event, _handle_ack, _send_packet, packet_class,
                             _handle_eio_connect, _handle_eio_disconnect,
                             handlers, namespace_handlers, manager_initialized
                             (socketio/server.py, socketio/client_manager.py)
                             Packet: json, _reconstruct_binary_internal (socketio/strict.py)
                             AsyncRedisManager: initialize, thread, channel, json, host_id, _thread, _publish,
                             _handle_emit, _handle_disconnect, _handle_enter_room, _handle_leave_room,
                             _handle_close_room, _handle_callback
                             BaseManager: rooms, callbacks, pending_connect, pending_disconnect, pre_connect,
                             basic_enter_room, basic_leave_room, basic_disconnect, get_participants, get_rooms,
                             is_sid_room, sid_from_eio_sid, eio_sid_from_sid (socketio/client_manager.py)
                             parse_redis_sentinel_url (redis/sentinel.py)
    aiohttp 3.14.5           RequestHandler: transport, connection_lost, _message_tail; _messages, _parser,
                             _upgraded (server/passing.py); _messages, data_received, _reading_paused, _buffer_paused,
                             _manager, _current_request, handle_error, force_close; Server: _loop, _kwargs, AppRunner:
                             _make_server (http_reading.py); a ConnectionError in
                             Response.prepare ends a request quietly (hijack.py: hijack, request_tail, Hijacked;
                             server/handoff.py)
                             GunicornWebWorker: _run, wsgi, _notify_waiter_done, _wait_next_notify, handle_exit,
                             handle_quit, notify (server/worker.py)
                             aiohttp._websocket.mask (websocket/frames.py)
"""

from __future__ import annotations

import asyncio
import time
from base64 import urlsafe_b64encode
from functools import partial
from os import urandom
from typing import Any

import engineio
from aiohttp import web

from gateway.admission import AdmissionControl
from gateway.background import Background
from gateway.interfaces import HandshakeGate
from gateway.option_groups import EngineOptions
from gateway.transport import answers, polling
from gateway.transport.answers import Answer
from gateway.transport.codec import open_packet
from gateway.transport.gate import OpenGate
from gateway.transport.heartbeats import Heartbeats
from gateway.transport.hijack import Hijacked, request_tail
from gateway.transport.library_socket import SocketState
from gateway.transport.origins import cors_headers, is_allowed
from gateway.transport.paths import serve_path, take_turns
from gateway.transport.proxies import Proxies
from gateway.transport.refusals import Refusals
from gateway.transport.socket import EngineSocket
from gateway.transport.turns import Turns
from gateway.transport.upgrade import UpgradingListener, accept_websocket
from gateway.websocket.close_codes import NORMAL
from gateway.websocket.frames import text_frame

ANNOUNCING_S = 5
"""How long a worker that stops waits for the ends of sessions that are being announced."""


class EngineServer(engineio.AsyncServer):  # type: ignore[misc]
    """Engine.IO over aiohttp, with `EngineSocket`s."""

    def __init__(
        self,
        options: EngineOptions | None = None,
        *,
        gate: HandshakeGate | None = None,
        admission: AdmissionControl | None = None,
        **kwargs: Any,
    ) -> None:
        """Without a `gate` every handshake is admitted."""
        self.options = options or EngineOptions()
        kwargs.update(
            async_mode="aiohttp",
            monitor_clients=False,
            cors_allowed_origins=[],  # the library says nothing of origins: see origins.py
            ping_interval=self.options.ping_interval_s,
            ping_timeout=self.options.ping_timeout_s,
            max_http_buffer_size=self.options.max_payload_bytes,
        )
        super().__init__(**kwargs)
        # What first packets and ends of sessions wait for, so that a storm of them holds up nobody else.
        self.admission = admission or AdmissionControl()
        self.turns = Turns()  # whoever sent more than one moment holds waits here for the next
        self._gate = gate or OpenGate()
        self._proxies = Proxies(self.options.trusted_proxies)
        self.refusals = Refusals()  # of HTTP that is none, too
        # Made when a loop runs: see `times`.
        self._times: Heartbeats | None = None
        # Ends of sessions that handlers are being told of.
        self._announcements = Background("engine")
        self._background = Background("python-socketio")

    @property
    def times(self) -> Heartbeats:
        """The heartbeats and time-outs of all sessions; needs a running loop when it is first asked for."""
        if self._times is None:
            self._times = Heartbeats(self.options, self.sockets)
        return self._times

    # -- requests

    def attach(self, app: web.Application, engineio_path: str = "engine.io") -> None:
        """Serves the engine at a path of an application, for every method. All its requests take turns, but for new
        sessions, which have their own way in (`admission`)."""
        path = f"/{engineio_path.strip('/')}"
        serve_path(app, "*", path, self.handle_request)
        take_turns(app, self.turns, path, self._proxies.is_proxy)

    def generate_id(self) -> str:
        """A session id: the worker's id, a dot, and 96 random bits."""
        return f"{self.options.worker}.{urlsafe_b64encode(urandom(12)).decode()}"

    async def handle_request(self, request: web.Request) -> web.StreamResponse:
        """Answers one HTTP request of the engine."""
        origin, query = request.headers.get("Origin"), request.query
        if request.method == "OPTIONS":
            return self._respond(request, answers.OPTIONS_OK)
        if not is_allowed(origin, self.options.origins):
            return self._respond(request, answers.ORIGIN_NOT_ALLOWED)
        if query.get("transport", "") not in self.transports:
            return self._respond(request, answers.UNKNOWN_TRANSPORT)
        if query.get("EIO") != "4":
            return self._respond(request, answers.UNKNOWN_VERSION)
        sid = query.get("sid")
        if sid is None:
            return await self._begin(request)
        socket = self._living(sid)
        if socket is not None:
            return await self._continue(request, socket)
        if await self._gate.pass_on(request, sid):
            return Hijacked()
        return self._respond(request, answers.UNKNOWN_SESSION)

    def _living(self, sid: str) -> EngineSocket | None:
        """The session with that id; one whose pong is late is ended first."""
        socket: EngineSocket | None = self.sockets.get(sid)
        if socket is not None and socket.is_overdue():
            socket.end(self.reason.PING_TIMEOUT, packet=None)
            return None
        return socket

    async def _begin(self, request: web.Request) -> web.StreamResponse:
        """A handshake without a session: begins one, if the gate admits it."""
        if request.method != "GET":
            return self._respond(request, answers.BAD_METHOD)
        refusal = await self._gate.admit(request)
        if refusal is None:
            return await self._open(request)
        if await self._gate.pass_on(request, None):
            return Hijacked()
        self._note_refusal(request, refusal.get(answers.REASON, "other"))
        refusal.headers.extend(cors_headers(request, self.options.origins))
        return refusal

    async def _open(self, request: web.Request) -> web.StreamResponse:
        socket = EngineSocket(self, self.generate_id())
        if request.query["transport"] == "polling":
            socket.open_over_polling()
            socket.send_text(self._open_packet(socket, ["websocket"] if self.allow_upgrades else []))
        else:
            listener = UpgradingListener(self.times, socket)
            first = text_frame(self._open_packet(socket, []))
            websocket = accept_websocket(request, self.options, self.turns, listener, first)
            if websocket is None:
                return self._respond(request, answers.BAD_REQUEST)
            socket.open_over_websocket(websocket)
        self.sockets[socket.sid] = socket
        environ = answers.handshake_environ(request, self.client_address(request))
        await self._trigger_event("connect", socket.sid, environ, run_async=False)
        self.times.opened(socket)
        if socket.websocket is not None:
            socket.websocket.start(request_tail(request))
            return Hijacked()
        return self._respond(request, (200, await polling.next_payload(socket)))

    def _open_packet(self, socket: EngineSocket, upgrades: list[str]) -> bytes:
        options = self.options
        return open_packet(
            socket.sid,
            upgrades,
            options.ping_interval_s,
            options.ping_timeout_s,
            options.max_payload_bytes,
        )

    async def _continue(self, request: web.Request, socket: EngineSocket) -> web.StreamResponse:
        """A request of a session that is here."""
        if request.query["transport"] == "websocket":
            return self._upgrade(request, socket)
        if socket.state is SocketState.WEBSOCKET:
            return self._respond(request, answers.BAD_REQUEST)
        try:
            return self._respond(request, await self._polling(request, socket))
        except polling.Ending as ending:
            return await polling.answer_and_end(request, self._respond(request, ending.answer), socket)
        except ConnectionError:
            return Hijacked()

    async def _polling(self, request: web.Request, socket: EngineSocket) -> Answer:
        if request.method == "POST":
            return await polling.post(socket, request, self.options.max_payload_bytes, self.turns)
        if request.method != "GET":
            return answers.BAD_METHOD
        answer = await polling.poll(socket)
        if socket.closed and not socket.outbox:
            self.sockets.pop(socket.sid, None)
        return answer

    def _upgrade(self, request: web.Request, socket: EngineSocket) -> web.StreamResponse:
        """A WebSocket for a session that polls; a second one is accepted and closed."""
        if request.method != "GET":
            return self._respond(request, answers.BAD_METHOD)
        is_second = socket.closed or socket.websocket is not None
        listener = UpgradingListener(self.times, None if is_second else socket)
        websocket = accept_websocket(request, self.options, self.turns, listener)
        if websocket is None:
            return self._respond(request, answers.BAD_REQUEST)
        if is_second:
            websocket.close(NORMAL, None)
        else:
            socket.websocket = websocket
            self.times.watch_upgrade(websocket)
        websocket.start(request_tail(request))
        return Hijacked()

    # -- answers

    def _respond(self, request: web.Request, answer: Answer) -> web.Response:
        if answer[0] != 200:
            self._note_refusal(request, answers.REASONS.get(answer, "other"))
        headers = request.headers
        cors = cors_headers(request, self.options.origins)
        return answers.response(answer, cors, headers.get("Accept-Encoding", ""))

    def _note_refusal(self, request: web.Request, reason: str) -> None:
        self.refusals.note(request, reason, self.client_address(request), time.monotonic())

    def client_address(self, request: web.Request) -> str | None:
        """Where a request comes from; None where nobody who is trusted says it."""
        return self._proxies.client(request.remote or "", request.headers.getall("X-Forwarded-For", ()))

    # -- from the sockets

    async def message_up(self, socket: EngineSocket, data: str | bytes) -> None:
        """Hands a message to the handler above. Raises MalformedPacket if the handler finds it so."""
        handler = self.handlers.get("message")
        if not socket.connects and (waits := self.admission.acquire()) is not None:
            await waits
        if handler is not None and not socket.closed:
            await handler(socket.sid, data)

    def ended(self, socket: EngineSocket, reason: str) -> None:
        """A session ended: it is forgotten, and announced upward. One that polls is forgotten once its last packets
        are fetched, unless a poll is there already or the client does not answer anyway."""
        outbox = socket.outbox
        if outbox and not outbox.is_polled and reason != self.reason.PING_TIMEOUT:
            self.times.linger(socket)
        else:
            self.sockets.pop(socket.sid, None)
        if "disconnect" in self.handlers:
            self.admission.submit(partial(self._announce_end, socket.sid, reason))

    def _announce_end(self, sid: str, reason: str) -> None:
        self._announcements.run(
            self._trigger_event("disconnect", sid, reason, run_async=False), "end of a session"
        )

    def start_background_task(self, target: Any, *args: Any, **kwargs: Any) -> asyncio.Task[Any]:
        """python-socketio's own tasks: handlers of events of other namespaces, the Admin UI."""
        return self._background.run(target(*args, **kwargs), f"{target.__name__} of python-socketio")

    async def shutdown(self) -> None:
        """Waits for announcements that are under way, then stops the time-outs and aborts what lingers."""
        self.admission.flush()
        await self._announcements.finish(ANNOUNCING_S)
        await self._background.close()
        if self._times is not None:
            self._times.close()
