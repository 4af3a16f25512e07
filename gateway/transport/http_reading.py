"""Reading of HTTP connections: one read in a round of the event loop, as long as they are aiohttp's.

Owns nothing but that, and counts the requests. uvloop reads up to 32 times 256 KB from a socket before it looks at the
next one, unless reading is paused in between: a connection that sends what is no HTTP held everybody up for 5 ms each
time, twenty of them for a tenth of a second. aiohttp's own pauses are kept.
"""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from gateway.metrics import requests_read

LONG_READ_BYTES = 32_768
"""After a read of so many bytes more is likely to be there; heads of requests are much shorter."""


class OneReadAtATime(RequestHandler):
    """aiohttp's request handler, which pauses after each long read until the loop has been round."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        known = len(self._messages)
        super().data_received(data)
        requests_read.add(len(self._messages) - known)
        transport = self.transport
        if len(data) >= LONG_READ_BYTES and transport is not None and not transport.is_closing():
            transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._read_on, transport)

    def _read_on(self, transport: asyncio.Transport) -> None:
        """Reads on, unless the connection has left aiohttp, or aiohttp has paused it."""
        is_ours = self.transport is transport and not transport.is_closing()
        if is_ours and not self._reading_paused and not self._buffer_paused:
            transport.resume_reading()


class OneReadServer(web.Server):
    """aiohttp's server with such request handlers."""

    def __call__(self) -> RequestHandler:
        return OneReadAtATime(self, loop=self._loop, **self._kwargs)


def read_in_turns(server: web.Server) -> web.Server:
    """Makes a server of aiohttp's making read so."""
    server.__class__ = OneReadServer
    return server
