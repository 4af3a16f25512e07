"""What is looked up of a session for the log."""

from __future__ import annotations

from gateway.transport.socket import EngineSocket


def close_code(socket: object) -> int | None:
    """The code with which a session's WebSocket was closed, by either side; None over polling, or if it just broke."""
    if isinstance(socket, EngineSocket) and socket.websocket is not None:
        return socket.websocket.close_code
    return None
