"""python-socketio's connects and disconnects of `/`, for the chat."""

from __future__ import annotations

import structlog
from socketio.exceptions import ConnectionRefusedError

from gateway.access.identity import NotAdmitted, Undecided
from gateway.chat.handlers import Chat
from gateway.metrics import connects, disconnects
from gateway.socketio.client_manager import ClientManager
from gateway.socketio.server import SocketServer
from gateway.transport.server import EngineServer

log = structlog.get_logger("gateway.server")

UNDECIDED = "who it is cannot be decided now"
"""Why a session ended, for the log."""


class Clients:
    """Opens and closes the chat's sessions."""

    def __init__(self, engine: EngineServer, manager: ClientManager, chat: Chat) -> None:
        self._engine = engine
        self._manager = manager
        self._chat = chat

    def listen(self, sio: SocketServer) -> None:
        """Takes the events from now on."""
        sio.on("connect", self._connected)
        sio.on("disconnect", self._disconnected)

    async def _connected(self, sid: str, environ: dict[str, str], auth: object = None) -> None:
        """Finds out who a client is. A refusal is final for stock clients; the end of a connection is not."""
        eio_sid = self._manager.eio_sid_from_sid(sid, "/")
        try:
            identity = await self._chat.identities.admit(environ, auth)
        except NotAdmitted as refused:
            raise ConnectionRefusedError(refused.sentence, refused.as_data()) from refused
        except Undecided:
            identity = None
        socket = self._engine.sockets.get(eio_sid)
        if socket is None or identity is None:
            if socket is not None:
                socket.end(UNDECIDED)
            return
        connects.add(1)
        self._chat.open(sid, socket, identity, environ.get("REMOTE_ADDR"))
        log.info(
            "session_connected", session=sid, remote=environ.get("REMOTE_ADDR"), user=identity.user or None
        )

    async def _disconnected(self, sid: str, reason: str) -> None:
        disconnects.add(1)
        self._chat.close(sid, reason)
        log.info("session_disconnected", session=sid, reason=reason)
