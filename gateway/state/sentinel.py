"""Sentinel: a way to find the primary, and to hear that another one took over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from socketio.redis_manager import parse_redis_sentinel_url

from gateway.state.endpoints import Endpoint
from gateway.state.link import StoreUnavailable

log = structlog.get_logger("gateway.store")

WATCH_S = 0.5
"""Time between two questions to the Sentinels: a switch is noticed within it, though the old primary still answers."""

ASK_S = 0.5
"""Longest wait for one Sentinel."""


class SentinelFinder:
    """Asks the Sentinels for the primary of a service."""

    must_be_primary = True

    def __init__(self, url: str) -> None:
        """`redis+sentinel://[user:password@]host:port[,host:port]/database/service`."""
        hosts, service, options = parse_redis_sentinel_url(url)
        self._service: str = service or "mymaster"
        limits = {
            "socket_timeout": ASK_S,
            "socket_connect_timeout": ASK_S,
            "retry": Retry(NoBackoff(), 0),  # redis-py's own would spend 4 s on each Sentinel that is dead
        }
        self._sentinel = Sentinel(hosts, sentinel_kwargs=limits)  # type: ignore[no-untyped-call]
        self._database = int(options.get("db") or 0)
        self._username: str | None = options.get("username")
        self._password: str | None = options.get("password")
        self._last: tuple[str, int] | None = None

    async def find(self) -> Endpoint:
        """The primary that a Sentinel names; raises StoreUnavailable when none answers."""
        host, port = self._last = await self._ask()
        return Endpoint(
            host=host, port=port, database=self._database, username=self._username, password=self._password
        )

    async def _ask(self) -> tuple[str, int]:
        try:
            host, port = await self._sentinel.discover_master(self._service)
        except (RedisError, OSError) as error:
            raise StoreUnavailable(f"no Sentinel names a primary for {self._service}: {error}") from error
        return str(host), int(port)

    async def watch(self, on_moved: Callable[[str], None]) -> None:
        """Woken every half second; ended by cancellation. Calls `on_moved` when the Sentinels name another primary
        than the one that was found last."""
        try:
            while True:
                await asyncio.sleep(WATCH_S)
                try:
                    found = await self._ask()
                except StoreUnavailable:
                    continue
                if self._last is not None and found != self._last:
                    log.warning("primary_moved", to=f"{found[0]}:{found[1]}")
                    self._last = found
                    on_moved("the Sentinels name another primary")
        finally:
            await self.close()

    async def close(self) -> None:
        """Ends the connections to the Sentinels."""
        for client in self._sentinel.sentinels:
            await client.aclose()
