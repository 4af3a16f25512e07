"""Port numbers that the kernel gives out, kept so that a server can be started on one again and again."""

from __future__ import annotations

import socket


class Port:
    """A port given by the kernel and kept for us: bound, never listening, so that a server may still bind it.

    Both sockets set SO_REUSEADDR, which Linux allows while only one of them listens. Nobody else gets the
    number between two starts, and no outgoing connection of the tests takes it.
    """

    def __init__(self) -> None:
        self._kept = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._kept.bind(("127.0.0.1", 0))
        self.number: int = self._kept.getsockname()[1]

    def release(self) -> None:
        """Gives the number back."""
        self._kept.close()
