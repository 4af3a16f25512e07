"""People whose tokens end soon: half of them refresh in place, the others are closed and come back with a new one."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

import aiohttp
import jwt

from tests.system.faults.people import Person

SECRET = bytes(range(32))


class TokenHolder(Person):
    """A person with a token for `life_s` seconds; it mints its own, as its application's backend would."""

    life_s = 60.0

    def __init__(self, name: str, *more: Any) -> None:
        super().__init__(name, *more)
        self.told: Counter[str] = Counter()  # events that have to do with tokens
        self._refreshing: set[asyncio.Task[None]] = set()
        self.refreshes_in_place = sum(name.encode()) % 2 == 0

    def token(self) -> str:
        """A new token."""
        now_s = time.time()
        claims = {"sub": f"user-{self.name}", "name": self.name, "iat": now_s, "exp": now_s + self.life_s}
        return jwt.encode(claims, SECRET, "HS256", headers={"kid": "k1"})

    def auth(self) -> dict[str, Any]:
        return {"token": self.token()}

    def on_event(self, name: str, data: dict[str, Any]) -> None:
        if name == "welcome":
            self.told[name] += 1
        elif name == "expiring":
            self.told[name] += 1
            if self.refreshes_in_place:
                refreshing = asyncio.create_task(self._refresh())
                self._refreshing.add(refreshing)
                refreshing.add_done_callback(self._refreshing.discard)
        else:
            super().on_event(name, data)

    async def _refresh(self) -> None:
        try:
            if self.connection is not None:
                await self.connection.post("refresh", {"token": self.token()}, self._refreshed)
        except (ConnectionError, aiohttp.ClientError):
            self.told["broke"] += 1  # it comes back with a new token

    def _refreshed(self, answer: dict[str, Any]) -> None:
        self.told["refreshed" if answer.get("ok") else "not refreshed"] += 1
