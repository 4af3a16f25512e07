"""The official Socket.IO Admin UI as a reader: the namespace `/admin`, off unless `GATEWAY_ADMIN_UI` is on and a key
for it exists.

Owns who is connected there, and when workers are asked. Promises:

- while nobody is connected, nothing is done; while somebody is, all workers of all hosts are asked every `EVERY_S`,
  once for all who are connected here;
- a UI is told numbers, and takes nothing back: whatever it emits is ignored;
- what it cannot take, because it does not read, is left out; at most `SESSIONS_MAX` are connected at one worker.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, NamedTuple, Protocol

import structlog
from socketio.exceptions import ConnectionRefusedError

from gateway.access.addresses import Addresses
from gateway.admin.signing import Signed
from gateway.admin.ui_credentials import UiCredentials, shows_password
from gateway.admin.ui_packets import NAMESPACE, greeting, packet
from gateway.admin.ui_stats import Look, Servers, Told
from gateway.background import Background
from gateway.errors import StoreError
from gateway.socketio.server import SocketServer
from gateway.transport.conduct import REFUSED_REQUEST
from gateway.transport.socket import EngineSocket

log = structlog.get_logger("gateway.admin")

SESSIONS_MAX = 20
EVERY_S = 2.0

INVALID = "invalid credentials"
"""The words by which the UI asks for them again."""
TOO_MANY = "too many Admin UIs are connected to this worker"
OVER = "the session of the Admin UI is over"
"""Why a connection ended, for the log."""


class Workers(Protocol):
    """Who knows what workers say of themselves."""

    async def of_all(self) -> Look:
        """What the workers that live answered. Raises a StoreError."""

    async def own(self) -> tuple[str, Told]:
        """This worker's id, and what it says, whether Redis is there or not."""


class _Connected(NamedTuple):
    """One UI."""

    signed: Signed
    socket: EngineSocket


class AdminUi:
    """Those who are connected to one worker."""

    def __init__(self, credentials: UiCredentials, addresses: Addresses, every_s: float = EVERY_S) -> None:
        self.sessions: dict[str, _Connected] = {}
        self._credentials = credentials
        self._addresses = addresses
        self._every_s = every_s
        self._is_telling = False
        self._latest: list[bytes] = []  # what all were told last; for who comes
        self._sio: SocketServer
        self._workers: Workers
        self._background: Background

    def start(self, sio: SocketServer, workers: Workers, background: Background) -> None:
        """From now on there is the namespace; `background` runs what goes on while somebody is there."""
        self._sio, self._workers, self._background = sio, workers, background
        sio.on("connect", self._connect, namespace=NAMESPACE)
        sio.on("disconnect", self._disconnect, namespace=NAMESPACE)
        sio.listen_beside(NAMESPACE, self)

    async def _connect(self, sid: str, environ: dict[str, str], auth: object = None) -> None:
        """Lets in who has a key; what is wrong draws on what an address, and a connection, may get wrong."""
        socket = self._sio.eio.sockets.get(self._sio.manager.eio_sid_from_sid(sid, NAMESPACE))
        if socket is None:
            return  # it has gone
        signed = self._credentials.read(auth, time.time())
        if signed is None:
            socket.charge(REFUSED_REQUEST)
            if shows_password(auth):
                self._addresses.failed(environ.get("REMOTE_ADDR"), time.monotonic())
            raise ConnectionRefusedError(INVALID)
        if len(self.sessions) >= SESSIONS_MAX:
            raise ConnectionRefusedError(TOO_MANY)
        self.sessions[sid] = _Connected(signed, socket)
        log.info("admin_ui_connected", key=signed.key.name, remote=environ.get("REMOTE_ADDR"))

    def on_connected(self, sid: str) -> None:
        """CONNECT was answered: the UI listens from now on."""
        connected = self.sessions.get(sid)
        if connected is None:
            return
        session_id = self._credentials.session_id(connected.signed)
        connected.socket.send_texts([*greeting(session_id), *self._latest])
        if not self._is_telling:
            self._is_telling = True
            self._background.run(self._tell_while_connected(), "numbers for the Admin UI")

    async def _disconnect(self, sid: str, reason: str) -> None:
        connected = self.sessions.pop(sid, None)
        if connected is not None:
            log.info("admin_ui_disconnected", key=connected.signed.key.name, reason=reason)

    # -- what it is told

    async def _tell_while_connected(self) -> None:
        """Woken every `EVERY_S`; ends once nobody is connected."""
        servers = Servers()
        try:
            while self.sessions:
                self._tell(list(servers.tell(await self._ask(), time.time())))
                await asyncio.sleep(self._every_s)
        finally:
            self._is_telling, self._latest = False, []

    async def _ask(self) -> Look:
        """What all workers say; while Redis is away, what this one does."""
        worker, own = await self._workers.own()
        try:
            look = await self._workers.of_all()
        except StoreError:
            return Look((worker,), {worker: own})
        return look._replace(told={**look.told, worker: own})

    def _tell(self, stats: list[dict[str, Any]]) -> None:
        self._latest = packets = [packet("server_stats", each) for each in stats]
        now_s = time.time()
        for signed, socket in list(self.sessions.values()):
            if now_s >= signed.until_s:
                socket.end(OVER)
            elif not socket.is_behind:
                socket.send_texts(packets)
