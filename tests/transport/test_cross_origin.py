"""Which pages may connect, and whether with cookies: settings, origins and kinds of requests, each with each."""

from __future__ import annotations

import json
from dataclasses import dataclass

import aiohttp
import pytest
from aiohttp import web
from multidict import CIMultiDict

from gateway.option_groups import EngineOptions
from gateway.transport.server import EngineServer
from tests.support.serving import serving

HOME, OTHER = "https://chat.example.org", "http://localhost:3000"
SETTINGS = {"all": ("*",), "one": (HOME,), "two": (HOME, OTHER), "none": ()}

ORIGINS = [
    None, HOME, OTHER, "https://evil.example", "null", "https://chat.example.org.evil.example",
    "http://chat.example.org", "https://chat.example.org:8443", "https://CHAT.example.org", "*", "", "HOST",
]  # fmt: skip
"""HOST is the very address that is asked, as a page has it whose name was bent to it."""

REQUESTS = ["handshake", "poll", "post", "websocket", "upgrade", "preflight", "refused", "unknown session"]


@dataclass
class Told:
    """What a request was answered with."""

    status: int
    allow: str | None
    credentials: str | None
    methods: str | None
    allowed_headers: str | None
    vary: str | None


class Asking:
    """One engine, and the requests of a page."""

    def __init__(self, url: str, client: aiohttp.ClientSession) -> None:
        self.url, self._client = f"{url}/engine.io/", client

    async def told(self, request: str, origin: str | None) -> Told:
        """Asks as a page of that origin does."""
        query = "?EIO=4&transport=polling"
        if request in ("poll", "post", "upgrade"):
            async with self._client.get(self.url + query) as opened:
                query += f"&sid={json.loads((await opened.text())[1:])['sid']}"
        method, body = {"post": ("POST", "40"), "preflight": ("OPTIONS", None)}.get(request, ("GET", None))
        headers = CIMultiDict[str]() if origin is None else CIMultiDict(Origin=origin)
        if request in ("websocket", "upgrade"):
            query = query.replace("polling", "websocket")
            headers.extend({"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"})
            headers["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="
        elif request == "preflight":
            headers.extend({"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-a"})
        elif request == "refused":
            query = query.replace("EIO=4", "EIO=3")
        elif request == "unknown session":
            query += "&sid=nobody"
        async with self._client.request(method, self.url + query, data=body, headers=headers) as answer:
            get = answer.headers.get
            return Told(
                answer.status, get("Access-Control-Allow-Origin"), get("Access-Control-Allow-Credentials"),
                get("Access-Control-Allow-Methods"), get("Access-Control-Allow-Headers"), get("Vary"),
            )  # fmt: skip


STATUS = {
    "handshake": 200, "poll": 200, "post": 200, "websocket": 101, "upgrade": 101, "preflight": 200, "refused": 400,
    "unknown session": 400,
}  # fmt: skip


@pytest.mark.parametrize("request_kind", REQUESTS)
@pytest.mark.parametrize("setting", SETTINGS)
async def test_each_origin_is_let_in_or_not_and_told_as_the_setting_says(
    setting: str, request_kind: str
) -> None:
    origins = SETTINGS[setting]
    engine, app = (
        EngineServer(EngineOptions(worker="w", origins=origins, ping_interval_s=0.05)),
        web.Application(),
    )
    engine.attach(app)
    async with serving(app) as url, aiohttp.ClientSession() as client:
        asking = Asking(url, client)
        for origin in ORIGINS:
            told = await asking.told(request_kind, url if origin == "HOST" else origin)
            is_let_in = origin is None or "*" in origins or origin in origins
            is_told = origin is not None and is_let_in and request_kind not in ("websocket", "upgrade")
            case = (setting, request_kind, origin)
            if request_kind == "preflight" or is_let_in:
                assert (told.status, case) == (STATUS[request_kind], case)
            else:
                assert (told.status, case) == (403, case)
            expected = None if not is_told else "*" if "*" in origins else origin
            assert (told.allow, case) == (expected, case)
            is_listed = is_told and "*" not in origins
            assert (told.credentials, case) == ("true" if is_listed else None, case)
            assert (told.vary, case) == ("Origin" if is_listed else None, case)
            is_answered = is_told and request_kind == "preflight"
            assert (told.methods, told.allowed_headers, case) == (
                ("OPTIONS, GET, POST", "x-a", case) if is_answered else (None, None, case)
            )
        await engine.shutdown()
