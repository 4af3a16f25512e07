"""An HTTP server that answers as it is told: for clients of ours that must bear with anything."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """One answer; `drop` closes the connection in its place, after `after_s`."""

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False
    after_s: float = 0.0


@dataclass
class Asked:
    """One request that came."""

    path: str
    headers: dict[str, str]
    data: Any
    connection: int
    """Which of all connections, in their order."""
    at_s: float


class Script:
    """The answers, in their order; the last one goes on."""

    def __init__(self, replies: Sequence[Reply]) -> None:
        self.replies = list(replies)
        self.asked: list[Asked] = []
        self.connections = 0
        self.url = ""
        self._lock = threading.Lock()

    def next(self, request: BaseHTTPRequestHandler, connection: int) -> Reply:
        """Notes a request, and says what it is answered."""
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        asked = Asked(request.path, dict(request.headers), json.loads(body), connection, time.monotonic())
        with self._lock:
            self.asked.append(asked)
            return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


@contextmanager
def scripted(*replies: Reply, tls: ssl.SSLContext | None = None) -> Iterator[Script]:
    """A server on a free port, with a thread for each connection."""
    script = Script(replies or [Reply()])

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            script.connections += 1
            self.number = script.connections

        def do_POST(self) -> None:
            reply = script.next(self, self.number)
            time.sleep(reply.after_s)
            if reply.drop:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: the script has it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    script.url = f"{'http' if tls is None else 'https'}://localhost:{server.server_address[1]}"
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
