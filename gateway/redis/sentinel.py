"""Sentinel: a way to find the primary, and to hear that another one took over.

Promises to believe the Sentinel that knows most: of all that answer, the one with the highest configuration epoch,
which Sentinels count up with each failover (Redis documentation, "Sentinel: configuration epochs"). So a Sentinel
that has not yet heard of a failover, or was cut off from the others, leads nobody back to the old primary.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from redis.asyncio import Connection, ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from gateway.errors import StoreUnavailable, StoreUnreachable, Trouble
from gateway.redis.address import Endpoint, with_address
from gateway.redis_url import read_redis_url

log = structlog.get_logger("gateway.store")

WATCH_S = 0.25
"""Time between two questions to the Sentinels: a switch is noticed within it, though the old primary still answers."""

ASK_S = 0.5
"""Longest wait for one Sentinel."""

_HELPS = "waiting helps: it takes seconds"
_ASKED_AGAIN = "waiting helps if one comes back: they are asked again until one answers"
_CHANGE_LOGIN = (
    "waiting does not help: correct GATEWAY_SENTINEL_PASSWORD and GATEWAY_SENTINEL_USERNAME, "
    "which are the Sentinels' own"
)

LATE_S = 0.05
"""Longest wait for the other Sentinels once most of them have answered: one that is dead must not cost time."""


@dataclass(frozen=True, slots=True, order=True)
class Word:
    """What a Sentinel says: who is the primary, since which configuration epoch."""

    epoch: int
    host: str
    port: int
    is_moving: bool = False
    """Another one is being made the primary at this moment."""


@dataclass(frozen=True, slots=True)
class Silence:
    """Why a Sentinel names no primary; `is_denied`: it asks for another user or password."""

    reason: str
    is_denied: bool


@dataclass(frozen=True, slots=True)
class SentinelLogin:
    """Who asks the Sentinels; without a password they are asked without."""

    username: str | None = None
    password: str | None = field(default=None, repr=False)


NO_LOGIN = SentinelLogin()


class SentinelFinder:
    """Asks the Sentinels for the primary of a service."""

    must_be_primary = True

    def __init__(self, url: str, login: SentinelLogin = NO_LOGIN) -> None:
        """`redis+sentinel://[user:password@]host:port[,host:port]/database/service`. Raises UrlError.

        User and password of the URL are the servers'; `login` is for the Sentinels. By `rediss+sentinel://` both
        Sentinels and servers are spoken to over TLS.
        """
        read = read_redis_url(url)
        self.service = read.service
        self._sentinels = [_client(host, port, read.tls, login) for host, port in read.hosts]
        self._way_in = Endpoint(
            database=read.database, username=read.username, password=read.password, tls=read.tls
        )
        self._named = ", ".join(f"{host}:{port}" for host, port in read.hosts)
        self._last: Word | None = None  # whom the connections were led to
        self._epoch = -1

    async def find(self) -> Endpoint:
        """The primary that the Sentinels name; raises StoreUnavailable when none answers, or while they are making
        another one the primary."""
        word = await self._ask()
        if word.is_moving:
            raise _unreachable(f"the Sentinels are replacing the primary of {self.service}", _HELPS)
        self._last = word
        return with_address(self._way_in, word.host, word.port)

    async def _ask(self) -> Word:
        asked = [asyncio.create_task(self._word_of(sentinel)) for sentinel in self._sentinels]
        majority = len(asked) // 2 + 1
        try:
            named = 0
            for answer in asyncio.as_completed(asked):
                named += isinstance(await answer, Word)
                if named >= majority:
                    break
            done, _ = await asyncio.wait(asked, timeout=LATE_S)
            return self._judge([task.result() for task in done], majority)
        finally:
            for task in asked:
                task.cancel()

    def _judge(self, answers: Sequence[Word | Silence], majority: int) -> Word:
        """The newest word. Older than what was known before it counts only from a majority: the Sentinels were set up
        anew then."""
        words = [answer for answer in answers if isinstance(answer, Word)]
        if not words:
            raise self._nobody([answer for answer in answers if isinstance(answer, Silence)])
        newest = max(words)
        if newest.epoch < self._epoch and len(words) < majority:
            raise _unreachable(
                f"the Sentinels that answer do not know the primary of {self.service} yet", _HELPS
            )
        self._epoch = newest.epoch
        return newest

    def _nobody(self, silences: Sequence[Silence]) -> StoreUnreachable:
        """No Sentinel names a primary. That one does not let the gateway in says more than that another is away."""
        why = max(silences, key=lambda silence: silence.is_denied)
        return _unreachable(
            f"no Sentinel of {self._named} names a primary for the service {self.service}: {why.reason}",
            _CHANGE_LOGIN if why.is_denied else _ASKED_AGAIN,
        )

    async def _word_of(self, sentinel: Redis) -> Word | Silence:
        try:
            told: Any = await sentinel.sentinel_master(self.service, return_responses=True)
            is_moving = "failover_in_progress" in str(told.get("flags", ""))
            return Word(int(told["config-epoch"]), str(told["ip"]), int(told["port"]), is_moving)
        except (RedisError, OSError, KeyError, ValueError) as error:
            reason = " ".join(str(error).split()).rstrip(".")
            log.debug("sentinel_silent", reason=reason)
            return Silence(reason, isinstance(error, AuthenticationError | NoPermissionError))

    async def watch(self, on_moved: Callable[[str], None]) -> None:
        """Woken four times a second; ended by cancellation. Calls `on_moved` when the Sentinels name another primary
        than the one that was found last, or begin to replace that one."""
        try:
            while True:
                await asyncio.sleep(WATCH_S)
                try:
                    self._compare(await self._ask(), on_moved)
                except StoreUnavailable:
                    continue
        finally:
            await self.close()

    def _compare(self, word: Word, on_moved: Callable[[str], None]) -> None:
        last = self._last
        if word.is_moving:
            if last is not None:
                self._last = None
                on_moved("the Sentinels are replacing the primary")
        elif last is None or (word.host, word.port) != (last.host, last.port):
            log.warning("primary_moved", to=f"{word.host}:{word.port}")
            self._last = word
            on_moved("the Sentinels name another primary")

    async def close(self) -> None:
        """Ends the connections to the Sentinels."""
        for client in self._sentinels:
            await client.aclose()


def _unreachable(sentence: str, advice: str) -> StoreUnreachable:
    return StoreUnreachable(Trouble(sentence, advice))


class _Connection(Connection):
    """A connection to a Sentinel that takes TLS as `redis_url.py` has read it, or does without."""

    def __init__(self, *, tls: ssl.SSLContext | None, **options: Any) -> None:
        super().__init__(**options)
        self._tls = tls

    def _connection_arguments(self) -> dict[str, Any]:
        """Private in redis-py, checked against 8.1; tests/redis/test_sentinel.py fails when it moves."""
        return {**super()._connection_arguments(), "ssl": self._tls}


def _client(host: str, port: int, tls: ssl.SSLContext | None, login: SentinelLogin) -> Redis:
    """A client of one Sentinel that waits no longer than `ASK_S`."""
    pool = ConnectionPool(
        connection_class=_Connection,
        host=host,
        port=port,
        username=login.username,
        password=login.password,
        tls=tls,
        protocol=2,  # its refusal of a stranger is one short sentence
        socket_timeout=ASK_S,
        socket_connect_timeout=ASK_S,
        retry=Retry(NoBackoff(), 0),  # redis-py's own would spend 4 s on each Sentinel that is dead
    )
    return Redis.from_pool(pool)
