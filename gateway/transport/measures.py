"""What is looked up of sessions when somebody asks, for metrics and the log; nothing is kept for it."""

from __future__ import annotations

from gateway.transport.socket import EngineSocket


def unsent_bytes(socket: EngineSocket) -> int:
    """What waits to be taken by the client."""
    if socket.websocket is not None:
        return socket.websocket.unsent_bytes
    return socket.outbox.unsent_bytes if socket.outbox is not None else 0


def close_code(socket: object) -> int | None:
    """The code with which a session's WebSocket was closed, by either side; None over polling, or if it just broke."""
    if isinstance(socket, EngineSocket) and socket.websocket is not None:
        return socket.websocket.close_code
    return None
