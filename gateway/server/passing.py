"""One connection on its way from a worker to another: its descriptor and what has been read of its request.

A request is passed before its body is read. What is in the kernel stays there for the owner, so a body that comes
slowly, or is too large, is answered by the owner as if it had come there at once. Only a body that aiohttp decodes (in
chunks, or compressed) has to be read here, for as long as the owner would wait for it.

Owns the bytes between the workers, and the reach into aiohttp's parser; the seams stand in the list of
`transport/server.py`.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import NamedTuple, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from gateway.transport.hijack import read_body

BODY_S = 30.0
"""How long a decoded body may take: as long as the owner of the session gives it."""

_REWRITTEN = frozenset((b"content-length", b"transfer-encoding", b"content-encoding"))
"""Headers of a body as it came, when it goes on as it was decoded, in one piece."""
_DONE = frozenset((b"expect",))
"""Headers that this worker has already answered."""

QUESTION = b"?"
"""Begins a question of another worker, in place of a connection."""
QUESTION_BYTES = 64
"""Longest question: one word."""

_PROBE = b"GET /probe HTTP/1.1\r\nHost: probe\r\n\r\n"


class Decoded(NamedTuple):
    """A body that had to be read here; `length_bytes` is more than it holds if it was too large to be read."""

    body: bytes
    length_bytes: int


async def decoded_body(request: web.Request, max_bytes: int) -> Decoded | None:
    """The body, if it came in a form that only aiohttp can read; None if the owner can read it himself. Raises
    TimeoutError. What is too large, or broken, goes on as a length that the owner refuses."""
    headers = request.headers
    if "Transfer-Encoding" not in headers and "Content-Encoding" not in headers:
        return None
    async with asyncio.timeout(BODY_S):
        body = await read_body(request, max_bytes)
    return Decoded(b"", max_bytes + 1) if body is None else Decoded(body, len(body))


async def send(passing: socket.socket, request: web.Request, decoded: Decoded | None) -> bool:
    """Sends the descriptor, then the request; False, with nothing touched, if the client is gone."""
    transport = request.transport
    if transport is None or transport.is_closing():
        return False
    taken = os.dup(transport.get_extra_info("socket").fileno())  # may fail, so it comes first
    try:
        transport.pause_reading()
        read = _what_was_read(request, decoded)
        transport.abort()
        socket.send_fds(passing, [b"!"], [taken])
    finally:
        os.close(taken)
    await asyncio.get_running_loop().sock_sendall(passing, read)
    return True


class Adoption(asyncio.Protocol):
    """The first moment of an adopted connection: what was read elsewhere comes before what the kernel still has."""

    def __init__(self, server: web.Server, read: bytes) -> None:
        self._server = server
        self._read = read

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        protocol = self._server()
        cast(asyncio.Transport, transport).set_protocol(protocol)  # uvloop's are of no class of asyncio's
        protocol.connection_made(transport)
        protocol.data_received(self._read)


async def receive(passing: socket.socket) -> tuple[socket.socket, bytes] | bytes | None:
    """The connection and what `send` had read of it, or a question (`siblings.py`); None if nothing came."""
    first, descriptor = await _receive_first(passing)
    if first == QUESTION:
        return await asyncio.get_running_loop().sock_recv(passing, QUESTION_BYTES)
    if descriptor is None:
        return None
    loop, read = asyncio.get_running_loop(), bytearray()
    connection = socket.socket(fileno=descriptor)
    try:
        while chunk := await loop.sock_recv(passing, 65_536):
            read += chunk
    except BaseException:
        connection.close()
        raise
    connection.setblocking(False)
    return connection, bytes(read)


def _what_was_read(request: web.Request, decoded: Decoded | None) -> bytes:
    """The request as bytes again, as far as it was read; what is behind it was read with a handshake only."""
    handler, body = request.protocol, request.content
    read = body.read_nowait() if decoded is None else decoded.body
    is_cut = decoded is not None and decoded.length_bytes > len(read)
    must_close = is_cut or (not handler._upgraded and body.is_eof() and not _is_alone(handler))
    tail: bytes = handler._message_tail
    return _head(request, decoded, must_close) + read + tail


def _head(request: web.Request, decoded: Decoded | None, must_close: bool) -> bytes:
    version = f"HTTP/{request.version.major}.{request.version.minor}"
    lines = [f"{request.method} {request.raw_path} {version}".encode()]
    dropped = _DONE | (_REWRITTEN if decoded is not None else frozenset())
    if must_close:
        dropped |= {b"connection"}
        lines.append(b"Connection: close")
    lines += [name + b": " + value for name, value in request.raw_headers if name.lower() not in dropped]
    if decoded is not None:
        lines.append(b"Content-Length: %d" % decoded.length_bytes)
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _is_alone(handler: web.RequestHandler) -> bool:
    """Whether nothing of a next request has been read: aiohttp's parser would hold it, and give none of it back.

    Asked by one more request, which the parser tells apart only if it waits for one. The parser is of no use then; the
    connection has left. If something was read, the owner closes the connection after its answer, and the client
    repeats on another what it had sent too early.
    """
    if handler._messages or handler._parser is None:
        return False
    try:
        messages, _, _ = handler._parser.feed_data(_PROBE)
    except HttpProcessingError:
        return False
    return [message.path for message, _ in messages] == ["/probe"]


async def _receive_first(passing: socket.socket) -> tuple[bytes, int | None]:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(passing, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(passing)
    first, descriptors, _, _ = socket.recv_fds(passing, 1, 1)
    return first, descriptors[0] if descriptors else None
