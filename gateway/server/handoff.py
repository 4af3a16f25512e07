"""A connection that reached the wrong worker is passed to the right one.

gunicorn's workers share one port, and the kernel gives a connection to any of them. A session's id begins with the id
of its worker, its owner. Example: worker `9ff5` reads a request with `sid=3a01.x`. It sends the connection's
descriptor, and the bytes that it has read, through the Unix socket `3a01.sock` in a private folder. Worker `3a01`
answers.

Promises:
- nothing of the request is lost on the way;
- a dead owner is noticed before the connection is touched, and then forgotten.

A worker that is ready for new sessions has a file `<id>.ready` in the folder. A draining worker passes new handshakes
to one of these.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import socket
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

import structlog
from aiohttp import web

from gateway.background import Background
from gateway.metrics import handoffs
from gateway.pauses import Backoff
from gateway.server import passing

log = structlog.get_logger("gateway.handoff")

GIVE_S = 2.0
"""Longest that passing one connection may take: it is on one host, and its client waits."""
QUEUE = 1024
"""Passed connections that may wait until this worker takes them: those of a storm while it is held up."""

SHORT = Backoff(first_s=0.05, most_s=1.0)
"""Pauses of a worker that has too few descriptors to take a connection."""


def run_folder_of(given: str | None, stack: AsyncExitStack) -> Path:
    """The folder of a host's workers; without a master one for this worker alone, until the stack ends."""
    if given is not None:
        return Path(given)
    folder = tempfile.mkdtemp(prefix="gateway-")
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


class Answers(Protocol):
    """Who answers what other workers of the host ask."""

    async def answer(self, question: bytes) -> bytes:
        """The answer; empty for what it does not know. Raises nothing."""


class Handoff:
    """One worker's end of the passing of connections."""

    def __init__(self, folder: Path, worker: str, max_body_bytes: int) -> None:
        """`folder` is shared by all workers of one gunicorn; of a body that must be read here, no more than
        `max_body_bytes` is."""
        self._folder = folder
        self._worker = worker
        self._max_body_bytes = max_body_bytes
        self._listener: socket.socket | None = None
        self._background = Background("handoff")  # accepts what others pass
        self._adoptions = Background("handoff")  # connections on their way in
        self.is_draining = False

    def _socket_path(self, worker: str) -> Path:
        return self._folder / f"{worker}.sock"

    def _ready_path(self, worker: str) -> Path:
        return self._folder / f"{worker}.ready"

    # -- the receiving end

    def open(self, server: web.Server, answers: Answers | None = None) -> None:
        """Begins to adopt connections into an aiohttp server, and to answer questions of other workers."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.setblocking(False)
        listener.bind(str(self._socket_path(self._worker)))
        listener.listen(QUEUE)
        self._listener = listener
        self._ready_path(self._worker).touch()
        self._background.keep(self._accept(listener, server, answers), "handoff")

    async def _accept(self, listener: socket.socket, server: web.Server, answers: Answers | None) -> None:
        """Woken by each connection that another worker passes; ended by `close`. Without a free descriptor it logs
        that once and backs off by `SHORT`; what comes meanwhile waits in the queue."""
        loop, failures = asyncio.get_running_loop(), 0
        while True:
            try:
                given, _ = await loop.sock_accept(listener)
            except OSError as error:
                if not failures:
                    log.error("handoff_out_of_descriptors", reason=str(error))
                await asyncio.sleep(SHORT.pause_s(failures))
                failures += 1
                continue
            failures = 0
            self._adoptions.run(self._adopt(given, server, answers), "adoption of a connection")

    async def _adopt(self, given: socket.socket, server: web.Server, answers: Answers | None) -> None:
        """Serves a connection that another worker passes, as if it had been accepted here; or answers its question."""
        loop = asyncio.get_running_loop()
        try:
            with given:
                async with asyncio.timeout(GIVE_S):
                    received = await passing.receive(given)
                    if isinstance(received, bytes):
                        if answers is not None:
                            await loop.sock_sendall(given, await answers.answer(received))
                        return
            if received is None:
                log.warning("handoff_failed", reason="no connection came: closed, or too few descriptors")
                return
            connection, read = received
            try:
                await loop.connect_accepted_socket(lambda: passing.Adoption(server, read), connection)
            except OSError:
                connection.close()
                raise
        except (OSError, TimeoutError) as error:
            log.warning("handoff_failed", reason=str(error) or type(error).__name__)
            return

    def begin_drain(self) -> None:
        """No worker passes new handshakes here any more."""
        self.is_draining = True
        self._ready_path(self._worker).unlink(missing_ok=True)

    async def close(self) -> None:
        """Stops adopting."""
        self._ready_path(self._worker).unlink(missing_ok=True)
        self._socket_path(self._worker).unlink(missing_ok=True)
        await self._background.close()
        await self._adoptions.close()
        if self._listener is not None:
            self._listener.close()

    # -- the giving end

    async def pass_on(self, request: web.Request, sid: str | None) -> bool:
        """Passes a request's connection to the worker whose session it names, or, from a draining worker, a new
        handshake to one that is ready. Returns False, with the connection untouched, if there is no such worker."""
        transport = request.transport
        if transport is None or transport.get_extra_info("ssl_object") is not None:
            return False
        if sid is not None:
            owner = sid.partition(".")[0]
            if owner == self._worker or not owner.isalnum():
                return False
            return await self._give(request, owner)
        if not self.is_draining:
            return False
        ready = [path.stem for path in self._folder.glob("*.ready")]
        random.shuffle(ready)
        for other in ready:
            if await self._give(request, other):
                return True
        return False

    async def _give(self, request: web.Request, owner: str) -> bool:
        """Passes the connection to a worker; False if that is dead or does not take it."""
        loop, path = asyncio.get_running_loop(), self._socket_path(owner)
        if not path.exists():
            return False
        try:
            decoded = await passing.decoded_body(request, self._max_body_bytes)
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as way:
                way.setblocking(False)
                async with asyncio.timeout(GIVE_S):
                    await loop.sock_connect(way, str(path))
                    is_given = await passing.send(way, request, decoded)
        except (FileNotFoundError, ConnectionRefusedError) as gone:
            if isinstance(gone, ConnectionRefusedError):
                self._forget(owner)
            handoffs.because("gone")
            return False
        except (OSError, TimeoutError) as error:
            log.warning("handoff_failed", to=owner, reason=str(error) or type(error).__name__)
            handoffs.because("failed")
            return False
        if is_given:
            handoffs.because("passed")
        return is_given

    def _forget(self, owner: str) -> None:
        """The owner does not listen any more, so it is dead: nobody else needs to try."""
        self._ready_path(owner).unlink(missing_ok=True)
        self._socket_path(owner).unlink(missing_ok=True)
