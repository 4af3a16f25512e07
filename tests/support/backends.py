"""A backend of the application, as it calls the server API: its keys, and one HTTP session with keep-alive."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp
import orjson

from gateway.access.api_keys import digest_of, new_key

LIMIT_S = 15.0


class Answer(NamedTuple):
    """What a call was answered."""

    status: int
    data: Any
    headers: dict[str, str]


class Backend:
    """Calls methods with a key."""

    def __init__(self, url: str, key: str, http: aiohttp.ClientSession) -> None:
        self.url, self.key, self._http = url, key, http

    async def call(self, method: str, headers: dict[str, str] | None = None, **fields: Any) -> Answer:
        """Calls a method; whatever the status."""
        return await self.post(method, orjson.dumps(fields), headers)

    async def ok(self, method: str, **fields: Any) -> Any:
        """The same for a call that must be answered 200: its data."""
        answer = await self.call(method, **fields)
        assert answer.status == 200, answer
        return answer.data

    async def post(
        self, method: str, body: bytes, headers: dict[str, str] | None = None, verb: str = "POST"
    ) -> Answer:
        """Sends a body as it is."""
        sent = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json", **(headers or {})}
        url = f"{self.url}/api/v1/{method}"
        async with self._http.request(verb, url, data=io.BytesIO(body), headers=sent) as response:
            text = await response.read()
            is_json = response.content_type == "application/json"
            return Answer(
                response.status, orjson.loads(text) if is_json and text else text, dict(response.headers)
            )


@asynccontextmanager
async def backend(
    url: str, key: str, connector: aiohttp.BaseConnector | None = None
) -> AsyncIterator[Backend]:
    """A backend with connections of its own."""
    async with aiohttp.ClientSession(
        connector=connector, timeout=aiohttp.ClientTimeout(total=LIMIT_S)
    ) as http:
        yield Backend(url, key, http)


def key_for(name: str = "backend") -> tuple[str, str]:
    """A new key, and what GATEWAY_API_KEYS says of it."""
    key = new_key()
    return key, f"{name}:{digest_of(key).hex()}"


def key_table(key: str, name: str, scopes: list[str], rooms: list[str]) -> str:
    """A `[[key]]` of the configuration file."""
    return (
        f'[[key]]\nname = "{name}"\nhash_sha256 = "{digest_of(key).hex()}"\n'
        f"scopes = {orjson.dumps(scopes).decode()}\nrooms = {orjson.dumps(rooms).decode()}\n"
    )
