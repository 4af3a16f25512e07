"""The last good keys of an identity provider, kept in Redis for all workers.

A worker that starts while the provider is away has them from here; and of many workers only the first asks the
provider, as long as what it read is young. Public keys only. Redis being away is no reason to fail: `read` finds
nothing then, and `write` does nothing.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import structlog

from gateway import keys
from gateway.errors import StoreError
from gateway.interfaces import CommandStore

log = structlog.get_logger("gateway.state")


class Fetched(NamedTuple):
    """What a provider published, and when it was read there (Unix time)."""

    at_s: float
    text: bytes


class SharedKeys:
    """What all workers know of one address."""

    def __init__(self, store: CommandStore, url: str, keep_s: float) -> None:
        self._store = store
        self._key = keys.jwks(hashlib.sha256(url.encode()).hexdigest())
        self._keep_ms = max(1, round(keep_s * 1000))

    async def read(self) -> Fetched | None:
        """What was fetched last by any worker; None if nobody has, or Redis does not say."""
        try:
            found = await self._store.call(self._key, "GET", self._key)
        except StoreError:
            return None
        if not isinstance(found, bytes):
            return None
        at_s, _, text = found.partition(b"\n")
        try:
            return Fetched(float(at_s), text)
        except ValueError:
            return None

    async def write(self, fetched: Fetched) -> None:
        """Leaves it for the others, for as long as it counts."""
        value = b"%.3f\n%b" % (fetched.at_s, fetched.text)
        try:
            await self._store.call(self._key, "SET", self._key, value, "PX", self._keep_ms)
        except StoreError as error:
            log.warning("jwks_not_shared", reason=str(error))
