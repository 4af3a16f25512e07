"""Socket.IO over the engine: python-socketio, strict where the Socket.IO v5 document is.

Owns what is decided before python-socketio sees a packet: whether it is whole, known and allowed at this moment.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import socketio
from socketio import packet as socketio_packet
from socketio.exceptions import ConnectionRefusedError as Refused

from gateway.admission import AdmissionControl
from gateway.interfaces import HandshakeGate, SessionEvents
from gateway.option_groups import EngineOptions
from gateway.socketio.strict import StrictPacket
from gateway.transport.codec import ATTACHMENTS_MAX, MalformedPacket, PacketTooLarge, check_event
from gateway.transport.conduct import ODD
from gateway.transport.connection import WebSocketConnection
from gateway.transport.server import EngineServer
from gateway.transport.socket import EngineSocket

CONNECT = "0"
"""CONNECT to `/` without data, as most clients send it."""

LetIn = Callable[[str, dict[str, str], Any], Awaitable[None]]
"""Takes a session's id, its handshake and the data of its CONNECT. Raises python-socketio's ConnectionRefusedError."""


class NamespaceEvents(Protocol):
    """Who listens in a namespace beside `/`, whose clients python-socketio's `connect` handler lets in."""

    def on_connected(self, sid: str) -> None:
        """CONNECT of a client was answered: what is sent to it now, it hears."""


class SocketServer(socketio.AsyncServer):  # type: ignore[misc]
    """Socket.IO by python-socketio, strict where the Socket.IO v5 document is."""

    eio: EngineServer

    def __init__(
        self,
        options: EngineOptions | None = None,
        *,
        gate: HandshakeGate | None = None,
        admission: AdmissionControl | None = None,
        sessions: SessionEvents | None = None,
        **kwargs: Any,
    ) -> None:
        """`gate` and `admission` are the engine's, `kwargs` python-socketio's; `sessions` is told of all sessions."""
        self._sessions = sessions
        self._beside: dict[str, NamespaceEvents] = {}
        self._lets_in: LetIn | None = None
        kwargs.update(options=options, gate=gate, admission=admission)
        super().__init__(serializer=StrictPacket, **kwargs)

    def let_in(self, handler: LetIn) -> None:
        """`handler` is asked about each CONNECT to `/`: python-socketio's `connect`."""
        self._lets_in = handler
        self.on("connect", handler)

    def listen_beside(self, namespace: str, listener: NamespaceEvents) -> None:
        """`listener` hears of a namespace that is not `/`."""
        self._beside[namespace] = listener

    def _engineio_server_class(self) -> type[EngineServer]:
        return EngineServer

    async def _handle_eio_connect(self, eio_sid: str, environ: dict[str, str]) -> None:
        if self._sessions is not None:
            self._sessions.opened(eio_sid, environ.get("REMOTE_ADDR"))
        await super()._handle_eio_connect(eio_sid, environ)

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        if self._sessions is not None:
            self._sessions.ended(eio_sid)
        await super()._handle_eio_disconnect(eio_sid, reason)

    async def _handle_eio_message(self, eio_sid: str, data: str | bytes) -> None:
        socket = self.eio.sockets.get(eio_sid)
        if data == CONNECT and socket is not None and socket.attachments_of is None:
            await self._connect(eio_sid, "/", None)
            return
        packet = self._whole_packet(socket, data) if socket is not None else None
        if packet is None:
            return
        namespace = packet.namespace or "/"
        kind = packet.packet_type
        if kind == socketio_packet.CONNECT:
            await self._connect(eio_sid, namespace, packet.data)
            return
        self._check_connected(eio_sid, packet)
        if kind == socketio_packet.DISCONNECT:
            await self._handle_disconnect(eio_sid, namespace, self.reason.CLIENT_DISCONNECT)
        elif kind in (socketio_packet.EVENT, socketio_packet.BINARY_EVENT):
            check_event(packet.data)
            await self._event(eio_sid, namespace, packet)
        elif kind in (socketio_packet.ACK, socketio_packet.BINARY_ACK):
            if packet.id is None or not isinstance(packet.data, list):
                raise MalformedPacket("an acknowledgement has a number and an array")
            if not self._awaits_acknowledgement(eio_sid, namespace, packet.id):
                socket.charge(ODD)
            await self._handle_ack(eio_sid, namespace, packet.id, packet.data)
        else:
            raise MalformedPacket("not a packet that clients send")

    async def _connect(self, eio_sid: str, namespace: str, data: Any) -> None:
        if data is not None and not isinstance(data, dict):
            raise MalformedPacket("the data of CONNECT is an object")
        if self.manager.sid_from_eio_sid(eio_sid, namespace) is not None:
            raise MalformedPacket("a second CONNECT to a namespace")
        await self._handle_connect(eio_sid, namespace, data)

    async def _event(self, eio_sid: str, namespace: str, packet: Any) -> None:
        """An event of `/` has one listener, however it was written: with attachments, or with `/` written out."""
        socket = self.eio.sockets.get(eio_sid)
        events = socket.events if socket is not None and namespace == "/" else None
        if events is None:
            await self._handle_event(eio_sid, namespace, packet.id, packet.data)
        elif (waits := events.on_event(packet.data[0], packet.data[1:], packet.id)) is not None:
            await waits

    def _check_connected(self, eio_sid: str, packet: Any) -> None:
        if self.manager.sid_from_eio_sid(eio_sid, packet.namespace or "/") is None:
            raise MalformedPacket("a packet for a namespace that is not connected")

    def _awaits_acknowledgement(self, eio_sid: str, namespace: str, number: int) -> bool:
        sid = self.manager.sid_from_eio_sid(eio_sid, namespace)
        return number in self.manager.callbacks.get(sid, {})

    def _whole_packet(self, socket: EngineSocket, data: str | bytes) -> Any:
        """Decodes a packet; None while its attachments are still to come: until then the session keeps it, at most
        `ATTACHMENTS_MAX` frames with the bytes of one message together, and only for a namespace that is connected.
        Raises MalformedPacket."""
        waiting = socket.attachments_of
        try:
            if isinstance(data, bytes):
                return self._attach(socket, waiting, data)
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
                self._check_connected(socket.sid, packet)
                socket.attachments_of = packet
                return None
        return packet

    def _attach(self, socket: EngineSocket, packet: Any, data: bytes) -> Any:
        """Gives a packet its next attachment; the packet if that was the last one."""
        if packet is None:
            raise MalformedPacket("an attachment that nothing announced")
        max_bytes = self.eio.options.max_payload_bytes
        if sum(map(len, packet.attachments)) + len(data) > max_bytes:
            raise PacketTooLarge(f"the attachments of a packet may have {max_bytes} bytes together")
        if not packet.add_attachment(data):
            return None
        socket.attachments_of = None
        return packet

    async def _handle_connect(self, eio_sid: str, namespace: str, data: Any) -> None:
        """CONNECT: an unknown namespace is refused in the reference server's words."""
        is_known = namespace in self.handlers or namespace in self.namespace_handlers
        if not is_known and self.namespaces != "*" and namespace not in self.namespaces:
            refusal = self.packet_class(
                socketio_packet.CONNECT_ERROR, data={"message": "Invalid namespace"}, namespace=namespace
            )
            await self._send_packet(eio_sid, refusal)
            if (socket := self.eio.sockets.get(eio_sid)) is not None:
                socket.charge(ODD)
            return
        try:
            if namespace == "/" and self._is_straight:
                await self._enter(eio_sid, data)
            else:
                await super()._handle_connect(eio_sid, namespace, data)
            waits = self._connected(eio_sid, namespace, data)
        finally:
            if (websocket := self._websocket_of(eio_sid)) is not None:
                websocket.release()
        if waits is not None:
            await waits

    @property
    def _is_straight(self) -> bool:
        """Whether nobody but `let_in` has a part in a CONNECT to `/`; the Admin UI puts itself before the events."""
        lets_in = self.handlers.get("/", {}).get("connect")
        is_ours = lets_in is not None and lets_in is self._lets_in
        return is_ours and not self.always_connect and "_trigger_event" not in vars(self)

    async def _enter(self, eio_sid: str, data: Any) -> None:
        """What python-socketio's `_handle_connect` does with a CONNECT to `/`, without its long ways to the handler and
        through packets."""
        assert self._lets_in is not None
        sid: str = await self.manager.pre_connect(eio_sid, "/")
        reason: Any = None
        try:
            await self._lets_in(sid, self.environ[eio_sid], data or None)
        except Refused as refused:
            reason = refused.error_args
        except ConnectionRefusedError:
            reason = {"message": "Connection refused by server"}
        if reason is not None:
            refusal = self.packet_class(socketio_packet.CONNECT_ERROR, data=reason, namespace="/")
            await self._send_packet(eio_sid, refusal)
            await self.manager.disconnect(sid, "/", ignore_queue=True)
            return
        if (socket := self.eio.sockets.get(eio_sid)) is not None:
            if socket.websocket is not None:
                socket.websocket.hold()
            socket.send_text(b'40{"sid":"%b"}' % sid.encode())
        await self.manager.connect(sid, "/")

    async def _send_packet(self, eio_sid: str, pkt: Any) -> None:
        """The answer to CONNECT leaves with what the client is told at once: a write costs as much as all of it."""
        is_answer = pkt.packet_type == socketio_packet.CONNECT
        if is_answer and (websocket := self._websocket_of(eio_sid)) is not None:
            websocket.hold()
        await super()._send_packet(eio_sid, pkt)

    def _websocket_of(self, eio_sid: str) -> WebSocketConnection | None:
        """The WebSocket of a session; None over polling, where what is sent leaves with the next poll."""
        socket = self.eio.sockets.get(eio_sid)
        return socket.websocket if socket is not None else None

    def _connected(self, eio_sid: str, namespace: str, data: Any) -> Awaitable[None] | None:
        """CONNECT was answered; what is returned must end before the client's first event."""
        socket = self.eio.sockets.get(eio_sid)
        sid = self.manager.sid_from_eio_sid(eio_sid, namespace)
        if socket is None or sid is None:
            return None
        socket.connects += 1
        if (listener := self._beside.get(namespace)) is not None:
            listener.on_connected(sid)
        return socket.events.on_connected(data) if socket.events is not None and namespace == "/" else None
