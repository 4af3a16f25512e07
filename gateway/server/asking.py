"""A process of an operator that looks at a gateway: its connections to Redis, and the answers of the workers.

Connects by the gateway's own settings, as a worker does. Leaves nothing in Redis. Raises `Wrong` with one sentence
where that is not possible.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import stat
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import click

from gateway import keys
from gateway.chat.questions import Questions
from gateway.errors import StoreError
from gateway.interfaces import CommandStore, PubSub
from gateway.redis.address import is_cluster
from gateway.redis.sentinel import SentinelFinder
from gateway.rooms.routes import Route, route_for
from gateway.server import logs
from gateway.server.check_connections import WAIT_S
from gateway.server.connections import connections
from gateway.server.embedded_folder import running_url, state_folder
from gateway.server.findings import Wrong
from gateway.settings import Settings
from gateway.state.census import Census


class Follower(Protocol):
    """What an operator follows, as far as the connection to Redis allows."""

    def on_messages(self, messages: list[tuple[bytes, bytes]]) -> None:
        """Takes what channels brought, in order."""

    def on_interrupted(self) -> None:
        """The connection is gone: what channels bring is missed from now on."""

    def on_restored(self) -> None:
        """The connection is back."""


class Channels:
    """What the channels bring to an operator's process (`RedisEvents`): answers, and what is followed."""

    def __init__(self) -> None:
        self.questions: Questions | None = None
        self.follower: Follower | None = None

    def on_messages(self, messages: list[tuple[bytes, bytes]]) -> None:
        rest = []
        for channel, payload in messages:
            if self.questions is not None and channel == self.questions.channel:
                self.questions.take(payload)
            else:
                rest.append((channel, payload))
        if rest and self.follower is not None:
            self.follower.on_messages(rest)

    def on_channels_lost(self, channels: list[bytes]) -> None:
        if self.follower is not None:
            self.follower.on_interrupted()

    def on_failover(self, last_heard_s: float) -> None:
        """An operator keeps nothing of a room."""

    def on_restored(self, channels: Sequence[bytes] | None = None) -> None:
        if self.follower is not None:
            self.follower.on_restored()


@dataclass(frozen=True, slots=True)
class Operator:
    """What an operator's process has: commands, channels, questions to workers, and who lives."""

    store: CommandStore
    pubsub: PubSub
    route: Route
    channels: Channels
    questions: Questions
    census: Census


@asynccontextmanager
async def operator(settings: Settings) -> AsyncIterator[Operator]:
    """Connected, for as long as it is needed. Raises Wrong."""
    url = url_of(settings)
    route = route_for(settings.redis.route, is_cluster(url))
    redis = connections(url, f"operator-{secrets.token_hex(4)}", route, settings)
    channels = Channels()
    try:
        await asyncio.gather(redis.store.start(WAIT_S, redis.pubsub), redis.pubsub.start(WAIT_S, channels))
        refuse_trouble(redis.store)
        if (reason := redis.pubsub.unhealthy_reason) is not None:
            raise Wrong(f"{reason[0].upper()}{reason[1:]}.")
        questions = channels.questions = Questions(redis.store, redis.pubsub)
        census = Census(redis.store, settings.presence.worker_dead_s)
        yield Operator(redis.store, redis.pubsub, route, channels, questions, census)
    finally:
        await redis.pubsub.close()
        await redis.store.close()
        if isinstance(redis.finder, SentinelFinder):
            await redis.finder.close()


def url_of(settings: Settings) -> str:
    """Where the gateway's Redis is: as it is set, or the embedded one of a gateway that runs here. Raises Wrong."""
    folder = state_folder(settings.embedded.state_dir)
    url = settings.redis.url or running_url(folder)
    if url is None:
        raise Wrong(f"no REDIS_URL is set and no embedded Valkey runs in {folder}.")
    return url


def refuse_trouble(store: CommandStore) -> None:
    """Raises Wrong where commands do not reach Redis."""
    if (trouble := store.trouble) is not None:
        raise Wrong(f"{trouble.sentence[0].upper()}{trouble.sentence[1:]}.")


def run(settings: Settings, what: Callable[[Operator], Coroutine[Any, Any, int]]) -> int:
    """Does it and returns its exit status; 1 after one sentence on standard error. Ctrl-C ends the process, and it ends
    by itself when who read its output has gone."""
    logs.configure(replace(settings.log, level="error"))  # what is wrong is said by the sentence
    keys.use_prefix(settings.redis.prefix, settings.redis.is_prefix_historys_too)

    async def do() -> int:
        async with operator(settings) as me:
            return await _while_it_is_read(what(me))

    try:
        return asyncio.run(do())
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python still has to write
        return 0
    except (Wrong, StoreError) as wrong:
        click.echo(f"Error: {str(wrong).rstrip('.')}.", err=True)
        return 1


async def _while_it_is_read(doing: Coroutine[Any, Any, int]) -> int:
    """Does it. A pipe that nobody reads any more ends it at once, not only when there is something to write. Raises
    BrokenPipeError then."""
    if not _is_pipe():
        return await doing
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(doing)
    # The writing end of a pipe is "readable" when it is broken.
    loop.add_reader(sys.stdout.fileno(), task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        raise BrokenPipeError from None
    finally:
        loop.remove_reader(sys.stdout.fileno())


def _is_pipe() -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(sys.stdout.fileno()).st_mode)
    except OSError:
        return False  # it has no descriptor, as in a test
