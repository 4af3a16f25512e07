"""The dashboard as a browser asks for it, without a browser: a cookie, forms, and the event stream."""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import aiohttp
import orjson

LIMIT_S = 15.0


class Dashboard:
    """One browser."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.base, self._http = f"{url}/admin", http
        self.token = ""

    async def get(self, path: str = "") -> tuple[int, str]:
        """A page: status and text. The token of its forms is kept."""
        async with self._http.get(f"{self.base}{path}", allow_redirects=False) as response:
            shown = await response.text()
        if found := re.search(r'name="token" value="([0-9a-f]+)"', shown):
            self.token = found[1]
        return response.status, shown

    async def post(
        self, path: str, fields: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> tuple[int, str, Any]:
        """A form: status, text and headers."""
        sent = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        body = io.BytesIO(urlencode(fields).encode())
        async with self._http.post(
            f"{self.base}{path}", data=body, headers=sent, allow_redirects=False
        ) as response:
            return response.status, await response.text(), response.headers

    async def sign_in(self, key: str) -> None:
        """Signs in, and has a form's token from the first page."""
        status, shown, _ = await self.post("/sign-in", {"key": key})
        assert status == 303, shown
        await self.get()

    async def act(self, method: str, **fields: str) -> int:
        """Presses a button."""
        status, shown, headers = await self.post("/do", {"method": method, "token": self.token, **fields})
        assert status != 303 or headers["Location"].endswith(f"said={method}"), shown
        return status

    async def regions(self, query: str, number: int = 1) -> list[dict[str, str]]:
        """So many events of a stream."""
        found: list[dict[str, str]] = []
        async with self._http.get(f"{self.base}/events?{query}") as response:
            assert response.status == 200, response.status
            async for line in response.content:
                if line.startswith(b"data: "):
                    found.append(orjson.loads(line[6:]))
                if len(found) == number:
                    return found
        return found


@asynccontextmanager
async def dashboard(url: str) -> AsyncIterator[Dashboard]:
    """A browser with a cookie jar of its own, at a gateway whose address is a number."""
    jar = aiohttp.CookieJar(unsafe=True)
    timeout = aiohttp.ClientTimeout(total=LIMIT_S)
    async with aiohttp.ClientSession(cookie_jar=jar, timeout=timeout) as http:
        yield Dashboard(url, http)
