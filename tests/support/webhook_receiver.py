"""A real receiver of webhooks: checks signatures by the library of Standard Webhooks, and keeps what it took.

It can be told to fail: every so many requests, or all of them. A request that it fails counts as not taken.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

SECRET = base64.b64encode(b"k" * 32).decode()


class Receiver:
    """`events` are those that it took, in their order; `ids` the ids of all requests."""

    def __init__(self) -> None:
        self.port = 0
        self.events: list[dict[str, Any]] = []
        self.ids: list[str] = []
        self.failed = 0
        self.forged = 0
        self.largest_bytes = self.most_events = self.in_flight = self.most_in_flight = 0
        self.is_away = False
        self.fails_share = 0.0
        self.status = 204
        self.delay_s = 0.0
        self.secret = SECRET
        self._random = random.Random(1)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/events"

    def of(self, room: str, kind: str = "message") -> list[dict[str, Any]]:
        """The events of one kind in a room."""
        return [event for event in self.events if event["room"] == room and event["type"] == kind]

    def texts(self, room: str) -> list[str]:
        """What was said in a room, in the order in which it was first told."""
        return list(dict.fromkeys(event["message"] for event in self.of(room)))

    async def serve(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.ids.append(request.headers["webhook-id"])
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.delay_s)
        finally:
            self.in_flight -= 1
        try:
            Webhook(self.secret).verify(body, dict(request.headers))
        except WebhookVerificationError:
            self.forged += 1
            return web.Response(status=401)
        if self.is_away or self._random.random() < self.fails_share:
            self.failed += 1
            return web.Response(status=503)
        if self.status >= 300:
            self.failed += 1
            return web.Response(status=self.status, headers={"Location": "/elsewhere"})
        events = json.loads(body)["events"]
        self.largest_bytes, self.most_events = (
            max(self.largest_bytes, len(body)),
            max(self.most_events, len(events)),
        )
        self.events += events
        return web.Response(status=self.status)


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    """One that runs."""
    found, app = Receiver(), web.Application()
    app.router.add_post("/events", found.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.port = runner.addresses[0][1]
    try:
        yield found
    finally:
        await runner.cleanup()


def hooks_file(folder: Path, *hooks: dict[str, Any]) -> Path:
    """A configuration file with these webhooks, open rooms beside them; each has the secret that receivers know."""
    secret = folder / "hook-secret"
    secret.write_text(f"whsec_{SECRET}\n")
    lines = ['[[room]]\nmatch = "**"\njoin = "anyone"']
    for hook in hooks:
        said = {"secret_file": str(secret), **hook}
        lines.append(
            "[[webhook]]\n" + "\n".join(f"{key} = {json.dumps(value)}" for key, value in said.items())
        )
    file = folder / "gw.toml"
    file.write_text("\n\n".join(lines) + "\n")
    return file
