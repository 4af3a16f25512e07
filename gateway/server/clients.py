"""python-socketio's connects and disconnects of `/`, for the chat."""

from __future__ import annotations

import time

import structlog
from socketio.exceptions import ConnectionRefusedError

from gateway.access.addresses import Addresses
from gateway.access.identity import Identity, NotAdmitted, Reason, Undecided
from gateway.access.users import Users, UserUsage
from gateway.chat.handlers import Chat
from gateway.metrics import connects, disconnects, rate_limited
from gateway.socketio.client_manager import ClientManager
from gateway.socketio.server import SocketServer
from gateway.transport.measures import close_code
from gateway.transport.server import EngineServer

log = structlog.get_logger("gateway.server")

UNDECIDED = "who it is cannot be decided now"
"""Why a session ended, for the log."""


class Clients:
    """Opens and closes the chat's sessions."""

    def __init__(
        self, engine: EngineServer, manager: ClientManager, chat: Chat, addresses: Addresses, users: Users
    ) -> None:
        self._engine = engine
        self._manager = manager
        self._chat = chat
        self._addresses = addresses  # what comes from each
        self._users = users  # what their connections share

    def listen(self, sio: SocketServer) -> None:
        """Takes the events from now on."""
        sio.let_in(self._connected)
        sio.on("disconnect", self._disconnected)

    async def _connected(self, sid: str, environ: dict[str, str], auth: object = None) -> None:
        """Finds out who a client is. A refusal is final for stock clients; the end of a connection is not."""
        eio_sid = self._manager.eio_sid_from_sid(sid, "/")
        identity: Identity | None = None
        usage: UserUsage | None = None
        try:
            identity = await self._chat.identities.admit(environ, auth)
            usage = self._acquire(identity)
        except NotAdmitted as refused:
            if refused.code == "unauthorized":
                self._addresses.failed(environ.get("REMOTE_ADDR"), time.monotonic())
            connects.because("refused")
            raise ConnectionRefusedError(refused.sentence, refused.as_data()) from refused
        except Undecided:
            pass  # it is told below
        socket = self._engine.sockets.get(eio_sid)
        if socket is None or identity is None:
            if identity is None:
                connects.because("undecided")
            if socket is not None:
                socket.end(UNDECIDED)
            self._release(usage)
            return
        connects.because("ok")
        self._chat.open(sid, socket, identity, environ.get("REMOTE_ADDR")).user_usage = usage
        log.info(
            "session_connected", session=sid, remote=environ.get("REMOTE_ADDR"), user=identity.user or None
        )

    def _acquire(self, identity: Identity) -> UserUsage | None:
        """What the connections of a user share; None for a guest. Raises NotAdmitted if there are too many."""
        if identity.is_guest:
            return None
        if (usage := self._users.acquire(identity.user)) is None:
            rate_limited.because("user_connections")
            raise NotAdmitted(Reason.TOO_MANY_CONNECTIONS, "This user has too many connections.")
        return usage

    def _release(self, usage: UserUsage | None) -> None:
        if usage is not None:
            self._users.release(usage, time.monotonic())

    async def _disconnected(self, sid: str, reason: str) -> None:
        why = reason.replace(" ", "_")
        disconnects.because(why if disconnects.knows(why) else "other")
        session = self._chat.sessions.get(sid)
        self._chat.close(sid, reason)
        if session is None:
            return
        self._release(session.user_usage)
        log.info(
            "session_disconnected", session=sid, user=session.identity.user or None, reason=reason,
            code=close_code(session.socket), duration_s=round(time.monotonic() - session.opened_s, 3),
            **session.counts.fields(),
        )  # fmt: skip
