"""The keys that an identity provider publishes (JWKS), read over HTTP and shared through Redis.

When the provider is asked:
- Every `refresh_s` (a little sooner, by chance, so that workers do not ask together). The first worker to ask leaves
  what it read in Redis; the others take it from there.
- When a token names a key that is not known: it may be new. At most one such read per `cooldown_s` and worker, whatever
  tokens name. All who wait for it share it. A token that comes in between is undecided, its transport is closed, and
  its client comes back; once a read has not brought the key, the token is refused.

What is served: the last good keys, for `stale_s` after they were read. A read replaces them all, so a withdrawn key
ends with it. Asked for never: an address that stands in a token.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import OrderedDict

import structlog

from gateway.access.fetching import FetchFailed, fetch
from gateway.access.identity import Undecided
from gateway.access.signing_keys import KeysError, keys_of_jwks
from gateway.access.verifying_keys import KeySet, VerifyingKey
from gateway.background import Background
from gateway.errors import Trouble
from gateway.identity_options import IdentityOptions
from gateway.metrics import jwks_fetches
from gateway.pauses import Backoff
from gateway.state.shared_keys import Fetched, SharedKeys

log = structlog.get_logger("gateway.access")

SOONER = 0.1
"""A refresh comes sooner by up to this share of its interval."""
FIRST_AGAIN_S = 1.0
"""A worker that has no keys yet asks again so soon, then after twice as long each time, up to the cool-down."""
ASKED_MAX = 1024
"""So many unknown names of keys are remembered with the time when they came; more push out the oldest."""


class JwksKeys:
    """The keys of one address, as one worker has them."""

    def __init__(self, options: IdentityOptions, shared: SharedKeys, background: Background) -> None:
        self._options = options
        self._url = options.jwks_url or ""
        self._shared = shared
        self._background = background
        self._keys = KeySet()
        self._at_s = 0.0  # when they were read at the provider (Unix time)
        self._failure = "they were not read yet"
        self._tried_s = float("-inf")  # when the provider was asked last (monotonic)
        self._looked_s = float("-inf")  # when the last read that succeeded began (monotonic)
        self._flight: asyncio.Task[None] | None = None
        self._asked: OrderedDict[str, float] = OrderedDict()  # unknown name → when it came first (monotonic)

    @property
    def trouble(self) -> Trouble | None:
        """Why no keys count, or None."""
        if self._counts():
            return None
        return Trouble(
            f"no keys for tokens: {self._failure}", "waiting helps once the identity provider answers"
        )

    @property
    def age_s(self) -> float:
        """For how long the provider has not said what they are; 0 before they were read."""
        return max(0.0, time.time() - self._at_s) if self._at_s else 0.0

    def holds(self, key: VerifyingKey) -> bool:
        """Whether the provider still published it when it was asked last."""
        return self._keys.holds(key) and self._counts()

    async def keys_for(self, kid: str | None) -> KeySet:
        """The keys, after a look for one that is not known. Raises Undecided."""
        if not self._counts():
            raise Undecided("no keys for tokens")
        if not self._keys.knows(kid) and kid is not None:
            await self._look_for(kid)
        return self._keys

    async def start(self) -> None:
        """Has keys when it returns, if Redis or the provider gives them within the limit of one read."""
        await self._read_once(None)

    async def run(self) -> None:
        """Woken when the next read is due: `refresh_s` after the last good one; after one that failed, `cooldown_s`,
        or sooner where there are no keys at all. Ended by cancellation."""
        backoff, attempts = Backoff(FIRST_AGAIN_S, self._options.jwks_cooldown_s), 0
        while True:
            await asyncio.sleep(self._due_in_s(backoff.pause_s(attempts)))
            await self._read_once(None)
            attempts += 1

    def _counts(self) -> bool:
        return bool(self._keys) and time.time() - self._at_s < self._options.jwks_stale_s

    def _due_in_s(self, again_s: float) -> float:
        options = self._options
        if not self._at_s:
            return again_s
        sooner = 1 - SOONER * random.random()
        due_s = self._at_s + options.jwks_refresh_s * sooner - time.time()
        rested_s = self._tried_s + options.jwks_cooldown_s - time.monotonic()
        return max(due_s, rested_s, 0.0)

    async def _look_for(self, kid: str) -> None:
        """Returns when it is known whether the provider has that key; raises Undecided while it is not."""
        came_s = self._asked.setdefault(kid, time.monotonic())
        if len(self._asked) > ASKED_MAX:
            self._asked.popitem(last=False)
        if self._flight is not None or time.monotonic() - self._tried_s >= self._options.jwks_cooldown_s:
            await self._read_once(kid)
        if not self._keys.knows(kid) and self._looked_s < came_s:
            raise Undecided("a key that nobody knows yet")

    async def _read_once(self, kid: str | None) -> None:
        """Reads the keys, together with everybody who wants that now."""
        if self._flight is None:
            self._flight = self._background.run(self._read(kid), "keys of the identity provider")
            self._flight.add_done_callback(self._landed)
        await asyncio.wait([self._flight])

    def _landed(self, flight: asyncio.Task[None]) -> None:
        self._flight = None

    async def _read(self, kid: str | None) -> None:
        """What another worker has read, if that is enough; else what the provider says."""
        begun_s = time.monotonic()
        shared = await self._shared.read()
        if shared is not None and shared.at_s > self._at_s and self._is_from_now(shared):
            self._take(shared)
        if self._is_enough(kid):
            return
        self._tried_s = time.monotonic()
        try:
            fetched = Fetched(time.time(), await fetch(self._url))
            self._take(fetched, must=True)
        except (FetchFailed, KeysError) as wrong:
            self._failed(str(wrong))
            return
        jwks_fetches.because("ok")
        self._looked_s = begun_s
        self._forget_known()
        await self._shared.write(fetched)

    def _is_from_now(self, shared: Fetched) -> bool:
        """Whether it is neither from a clock that is ahead nor over."""
        return -60 < time.time() - shared.at_s < self._options.jwks_stale_s

    def _is_enough(self, kid: str | None) -> bool:
        if kid is not None:
            return self._keys.knows(kid)
        age_s = time.time() - self._at_s
        return age_s < self._options.jwks_refresh_s * (1 - SOONER)

    def _take(self, fetched: Fetched, must: bool = False) -> None:
        """Serves these keys from now on. Raises KeysError, if it `must`, for keys that are none."""
        try:
            found, skipped = keys_of_jwks(fetched.text)
            if not found:
                raise KeysError("; ".join(["no key in it is taken", *skipped[:3]]))
        except KeysError:
            if must:
                raise
            return
        keys = KeySet(found)
        if set(keys.keys) != set(self._keys.keys):
            log.info("jwks_changed", url=self._shown, keys=[key.kid for key in found], skipped=skipped[:10])
        self._keys, self._at_s = keys, fetched.at_s

    def _failed(self, why: str) -> None:
        jwks_fetches.because("failed")
        self._failure = why
        age_s = round(time.time() - self._at_s) if self._at_s else None
        log.warning("jwks_not_read", url=self._shown, why=why, keys_that_count=len(self._keys), age_s=age_s)

    def _forget_known(self) -> None:
        for kid in [kid for kid in self._asked if self._keys.knows(kid)]:
            del self._asked[kid]

    @property
    def _shown(self) -> str:
        return self._url.partition("?")[0]
