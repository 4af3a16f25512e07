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
import os
import random
import socket
from pathlib import Path

import structlog
from aiohttp import web

from gateway.background import Background
from gateway.metrics import handoffs
from gateway.transport.hijack import read_body

log = structlog.get_logger("gateway.handoff")

GIVE_S = 2.0
"""Longest that passing one connection may take: it is on one host, and its client waits."""
QUEUE = 1024
"""Passed connections that may wait until this worker takes them: those of a storm while it is held up."""

_DROPPED = frozenset((b"content-length", b"transfer-encoding", b"content-encoding", b"expect"))
"""Headers of a body as it came; it goes on as it was read, in one piece."""


class Handoff:
    """One worker's end of the passing of connections."""

    def __init__(self, folder: Path, worker: str, max_body_bytes: int) -> None:
        """`folder` is shared by all workers of one gunicorn; a request whose body is longer than `max_body_bytes` is
        not passed."""
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

    def open(self, server: web.Server) -> None:
        """Begins to adopt connections into an aiohttp server."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.setblocking(False)
        listener.bind(str(self._socket_path(self._worker)))
        listener.listen(QUEUE)
        self._listener = listener
        self._ready_path(self._worker).touch()
        self._background.keep(self._accept(listener, server), "handoff")

    async def _accept(self, listener: socket.socket, server: web.Server) -> None:
        """Woken by each connection that another worker passes; ended by `close`."""
        loop = asyncio.get_running_loop()
        while True:
            passing, _ = await loop.sock_accept(listener)
            self._adoptions.run(self._adopt(passing, server), "adoption of a connection")

    async def _adopt(self, passing: socket.socket, server: web.Server) -> None:
        """Serves a connection that another worker passes, as if it had been accepted here."""
        loop = asyncio.get_running_loop()
        try:
            with passing:
                async with asyncio.timeout(GIVE_S):
                    received = await _receive(passing)
            if received is None:
                return
            connection, request = received
            _, protocol = await loop.connect_accepted_socket(server, connection)
        except (OSError, TimeoutError) as error:
            log.warning("handoff_failed", reason=str(error) or type(error).__name__)
            return
        protocol.data_received(request)

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
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as passing:
            passing.setblocking(False)
            try:
                async with asyncio.timeout(GIVE_S):
                    await loop.sock_connect(passing, str(self._socket_path(owner)))
                    is_given = await _send(passing, request, self._max_body_bytes)
            except ConnectionRefusedError:
                self._forget(owner)
                return False
            except (OSError, TimeoutError):
                return False
        if is_given:
            handoffs.add(1)
        return is_given

    def _forget(self, owner: str) -> None:
        """The owner does not listen any more, so it is dead: nobody else needs to try."""
        self._ready_path(owner).unlink(missing_ok=True)
        self._socket_path(owner).unlink(missing_ok=True)


async def _send(passing: socket.socket, request: web.Request, max_body_bytes: int) -> bool:
    """Sends the descriptor, then the request; False, with nothing sent, if the client is gone or its body too long."""
    head = await whole_request(request, max_body_bytes)
    if head is None or (taken := _take_descriptor(request)) is None:
        return False
    try:
        socket.send_fds(passing, [b"!"], [taken])
    finally:
        os.close(taken)
    await asyncio.get_running_loop().sock_sendall(passing, head)
    return True


async def _receive(passing: socket.socket) -> tuple[socket.socket, bytes] | None:
    """The connection and the request that `_send` sent; None if there was no connection."""
    descriptor = await _receive_descriptor(passing)
    if descriptor is None:
        return None
    loop, request = asyncio.get_running_loop(), bytearray()
    connection = socket.socket(fileno=descriptor)
    try:
        while chunk := await loop.sock_recv(passing, 65_536):
            request += chunk
    except BaseException:
        connection.close()
        raise
    connection.setblocking(False)
    return connection, bytes(request)


async def whole_request(request: web.Request, max_body_bytes: int) -> bytes | None:
    """A request as bytes again, its body included; None if the body is too long."""
    body = await read_body(request, max_body_bytes)
    if body is None:
        return None
    version = f"HTTP/{request.version.major}.{request.version.minor}"
    lines = [f"{request.method} {request.raw_path} {version}".encode()]
    lines += [name + b": " + value for name, value in request.raw_headers if name.lower() not in _DROPPED]
    if body or request.method == "POST":
        lines.append(b"Content-Length: %d" % len(body))
    tail: bytes = request.protocol._message_tail
    return b"\r\n".join(lines) + b"\r\n\r\n" + body + tail


def _take_descriptor(request: web.Request) -> int | None:
    """A duplicate of the connection's descriptor; the transport itself is given up."""
    transport = request.transport
    if transport is None or transport.is_closing():
        return None
    transport.pause_reading()
    taken = os.dup(transport.get_extra_info("socket").fileno())
    transport.abort()
    return taken


async def _receive_descriptor(passing: socket.socket) -> int | None:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(passing, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(passing)
    _, descriptors, _, _ = socket.recv_fds(passing, 1, 1)
    return descriptors[0] if descriptors else None
