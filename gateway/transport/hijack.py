"""Taking connections and requests out of aiohttp's hands.

Owns the reach into aiohttp's request handler; the seams stand in the list of `transport/server.py`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web


class Hijacked(web.Response):
    """What a handler returns whose connection has left aiohttp: nothing is sent, nothing is logged.

    A ConnectionError raised by a handler itself would be logged as its failure, with a traceback; one raised while
    the response is prepared counts as a client that went away.
    """

    async def prepare(self, request: web.BaseRequest) -> Any:
        raise ConnectionResetError("the connection left aiohttp")


class _Nobody(asyncio.BufferedProtocol):
    """What a connection is given to on its way from one protocol to another.

    uvloop keeps the methods of the last protocol that had a buffer (`HttpReader`), and with them all that aiohttp knew
    of the connection: 2 KB for as long as the WebSocket lives. These are the same for all connections.
    """

    @staticmethod
    def get_buffer(sizehint: int) -> bytearray:
        raise AssertionError("nobody reads")

    @staticmethod
    def buffer_updated(nbytes: int) -> None:
        raise AssertionError("nobody reads")


_NOBODY = _Nobody()


def hijack(request: web.Request, protocol: asyncio.Protocol) -> asyncio.Transport | None:
    """Gives a request's connection to another protocol; aiohttp is told that it is lost. None if it already was.

    The transport itself changes hands, so TLS keeps working, no descriptor is duplicated and nothing is accepted twice.
    """
    handler = request.protocol
    transport = handler.transport
    if transport is None or transport.is_closing():
        return None
    transport.set_protocol(_NOBODY)
    transport.set_protocol(protocol)
    handler.transport = None
    return transport


def request_tail(request: web.Request) -> bytes:
    """What came after a handshake's head, before the connection was hijacked."""
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
