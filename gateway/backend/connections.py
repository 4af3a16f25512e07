"""Connections to the gateway that are kept open, for all threads of a process.

A connection is used by one call at a time. No lock is held, so a fork in between harms nothing; and a process that was
forked opens its own (Celery and gunicorn fork after your modules were imported).
"""

from __future__ import annotations

import http.client
import os
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from gateway.backend.errors import unreachable
from gateway.backend.trace import with_trace

IDLE_MAX = 16
"""Connections that are kept while nobody uses them."""
IDLE_S = 30.0
"""For so long: balancers forget quiet connections without a word."""
PIECE_BYTES = 65_536

PATH = "/api/v1/"


class Reply(NamedTuple):
    """What came back."""

    status: int
    retry_after: str | None
    body: bytes


class Address(NamedTuple):
    """Where the gateway is."""

    scheme: str
    host: str
    port: int | None
    path: str
    """Before `/api/v1`; of `unix:` the socket's."""


def address_of(url: str) -> Address:
    """Reads `http://host:port/prefix`, `https://…` or `unix:/path`. Raises ValueError."""
    if url.startswith("unix:/"):
        return Address("unix", "localhost", None, url.removeprefix("unix:"))
    parts = urlsplit(url)
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or parts.query
        or parts.fragment
        or "@" in url
    ):
        raise ValueError("the URL of the gateway is such as http://127.0.0.1:8006 or unix:/run/chat/api.sock")
    return Address(parts.scheme, parts.hostname, parts.port, parts.path.rstrip("/"))


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Opens the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Connections:
    """The connections of one process."""

    def __init__(self, address: Address, headers: Mapping[str, str], tls: ssl.SSLContext | None) -> None:
        self._address, self._headers = address, dict(headers)
        self._tls = tls or (ssl.create_default_context() if address.scheme == "https" else None)
        self._prefix = ("" if address.scheme == "unix" else address.path) + PATH
        self._pid = os.getpid()
        self._idle: deque[tuple[http.client.HTTPConnection, float]] = deque()

    def post(self, method: str, body: bytes, within_s: float) -> Reply:
        """Sends one request and reads all of the answer. Raises BackendError (`unreachable`)."""
        until_s = time.monotonic() + within_s
        connection = self._take(within_s)
        try:
            reply, is_kept = self._exchange(connection, method, body, until_s)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise unreachable(_why(error, within_s)) from error
        except (
            BaseException
        ):  # a signal's exception in the middle: the next answer would not be the next call's
            connection.close()
            raise
        if is_kept and len(self._idle) < IDLE_MAX and self._pid == os.getpid():
            self._idle.append((connection, time.monotonic()))
        else:
            connection.close()
        return reply

    def _exchange(
        self, connection: http.client.HTTPConnection, method: str, body: bytes, until_s: float
    ) -> tuple[Reply, bool]:
        connection.request("POST", self._prefix + method, body, with_trace(self._headers))
        sock = connection.sock
        response = connection.getresponse()
        body = _body(response, sock, until_s)
        response.close()  # it is whole; the connection may be used again unless the gateway closes it
        return Reply(response.status, response.getheader("Retry-After"), body), not response.will_close

    def _take(self, within_s: float) -> http.client.HTTPConnection:
        """One that is open, else a new one."""
        if self._pid != os.getpid():  # forked: those belong to the parent
            self._idle, self._pid = deque(), os.getpid()
        while True:
            try:
                connection, since_s = self._idle.pop()
            except IndexError:
                return self._new(within_s)
            if time.monotonic() - since_s < IDLE_S and _is_quiet(connection.sock):
                connection.timeout = within_s
                connection.sock.settimeout(within_s)
                return connection
            connection.close()

    def _new(self, within_s: float) -> http.client.HTTPConnection:
        scheme, host, port, path = self._address
        if scheme == "unix":
            return _UnixConnection(path, within_s)
        if scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=within_s, context=self._tls)
        return http.client.HTTPConnection(host, port, timeout=within_s)

    def close(self) -> None:
        """Closes those that nobody uses."""
        while self._idle:
            self._idle.pop()[0].close()

    def __del__(self) -> None:
        # A program that ends, or forgets its client, has nothing to say to the gateway: no warnings of open sockets.
        for connection, _ in getattr(self, "_idle", ()):
            connection.close()


def _body(response: http.client.HTTPResponse, sock: socket.socket, until_s: float) -> bytes:
    """All of the body, however slowly it comes. Counts what is left: `read1` does not notice that it has read all."""
    pieces, left_bytes = [], response.length
    while left_bytes is None or left_bytes > 0:
        if (left_s := until_s - time.monotonic()) <= 0:
            raise TimeoutError
        sock.settimeout(left_s)
        piece = response.read1(PIECE_BYTES if left_bytes is None else min(left_bytes, PIECE_BYTES))
        if not piece:
            break
        pieces.append(piece)
        left_bytes = None if left_bytes is None else left_bytes - len(piece)
    if left_bytes:
        raise ConnectionResetError("it ended in the middle of the answer")
    return b"".join(pieces)


def _is_quiet(sock: socket.socket | None) -> bool:
    """Whether nothing came while nobody asked: what comes then is the end."""
    if sock is None:
        return False
    try:
        if hasattr(select, "poll"):
            poll = select.poll()
            poll.register(sock, select.POLLIN)
            return not poll.poll(0)
        return not select.select([sock], [], [], 0)[0]
    except (OSError, ValueError):
        return False


def _why(error: Exception, within_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {within_s:g} s"
    return f"no answer: {str(error) or type(error).__name__}"
