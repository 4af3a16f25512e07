"""The access log (gunicorn's `--access-logfile`): one line with fields for each answered request.

A line never holds a session id or a token: whoever knows a session's id can read and write in its place, and clients
put tokens into addresses. Both stand in the query string, so that is left out, and so is the header Referer. A
connection that became a WebSocket, or was passed to another worker, has no answer and no line.
"""

from __future__ import annotations

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

AGENT_MAX = 200
"""Longest User-Agent in a line, in characters."""
TRANSPORTS = ("polling", "websocket")


class AccessLog(AbstractAccessLogger):
    """Writes the lines. `logs.ACCESS_FIELDS` are the fields that its formatter shows."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Called by aiohttp after an answer; `time` is how long it took, in seconds."""
        transport = request.query.get("transport")
        fields = {
            "method": request.method,
            "path": request.path,
            "transport": transport if transport in TRANSPORTS else None,
            "status": response.status,
            "bytes": response.body_length,
            "duration_ms": round(time * 1000, 1),
            "remote": request.remote,
            "agent": request.headers.get("User-Agent", "")[:AGENT_MAX],
        }
        self.logger.info("http_request", extra=fields)

    @property
    def enabled(self) -> bool:
        """Whether a line would be written."""
        return self.logger.isEnabledFor(20)
