"""The application beside the gateway, as its hooks meet it: an HTTP server that answers as a test tells it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web


class Clock:
    """A clock that a test moves."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Application:
    """Answers as it is told, or as `judge` does, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answer: Any = {"allow": ["join"]}
        self.judge: Callable[[dict[str, Any]], Any] | None = None
        self.status = 200
        self.held: asyncio.Event | None = None
        self.asked: list[tuple[dict[str, str], bytes]] = []
        self.url = ""

    @property
    def questions(self) -> list[dict[str, Any]]:
        """What it was asked, in order."""
        return [json.loads(body) for _, body in self.asked]

    async def serve(self, request: web.Request) -> web.Response:
        """Answers one question."""
        self.asked.append((dict(request.headers), await request.read()))
        if self.held is not None:
            await self.held.wait()
        headers = {"Location": "/elsewhere"} if 300 <= self.status < 400 else {}
        if self.judge is not None:
            return web.json_response(self.judge(self.questions[-1]))
        text = self.answer if isinstance(self.answer, str) else json.dumps(self.answer)
        return web.Response(text=text, status=self.status, headers=headers)


@asynccontextmanager
async def running() -> AsyncIterator[Application]:
    """One on a port of its own."""
    application, app = Application(), web.Application()
    app.router.add_post("/ask", application.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    application.url = f"http://127.0.0.1:{runner.addresses[0][1]}/ask"
    try:
        yield application
    finally:
        await runner.cleanup()
