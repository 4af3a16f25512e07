"""The gate of an engine that nobody stands before: in tests, and in applications of one process."""

from __future__ import annotations

from aiohttp import web


class OpenGate:
    """The gate of an engine that stands alone: every handshake is admitted, and there is no other worker."""

    async def admit(self, request: web.Request) -> web.StreamResponse | None:
        return None

    async def pass_on(self, request: web.Request, sid: str | None) -> bool:
        return False
