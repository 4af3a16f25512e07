"""The channel that a worker can do without: it is heard, and its refusal costs nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import structlog

from gateway import keys
from gateway.redis.address import FixedFinder, endpoint_of
from gateway.redis.commands import PrimaryCommands
from gateway.redis.pubsub import PrimaryPubSub
from gateway.redis.server_watch import ServerWatch
from tests.support.redis_limits import LIMITS
from tests.support.servers import Valkey
from tests.support.waiting import until


class Heard:
    """What the channels bring (`RedisEvents`)."""

    def __init__(self) -> None:
        self.messages: list[tuple[bytes, bytes]] = []

    def on_messages(self, messages: list[tuple[bytes, bytes]]) -> None:
        self.messages += messages

    def on_channels_lost(self, channels: list[bytes]) -> None:
        """Not asked here."""

    def on_failover(self, last_heard_s: float) -> None:
        """Not asked here."""

    def on_restored(self, channels: Sequence[bytes] | None = None) -> None:
        """Not asked here."""


@asynccontextmanager
async def listening(url: str, limit_s: float = 10) -> AsyncIterator[tuple[PrimaryPubSub, Heard]]:
    finder, watch, heard = FixedFinder(endpoint_of(url)), ServerWatch(), Heard()
    store = PrimaryCommands(finder, watch, "test-control", LIMITS)
    pubsub = PrimaryPubSub(finder, store, watch, "w1", b"SUBSCRIBE", 0.5, 1.5)
    await asyncio.gather(store.start(10, pubsub), pubsub.start(limit_s, heard))
    try:
        yield pubsub, heard
    finally:
        await pubsub.close()
        await store.close()


async def test_it_is_heard_as_every_other_plain_channel(server: Valkey) -> None:
    async with listening(server.url) as (pubsub, heard):
        assert pubsub.unhealthy_reason is None
        await server.ask("PUBLISH", keys.CONTROL.decode(), "revoked 7")
        await until(lambda: (keys.CONTROL, b"revoked 7") in heard.messages, what="the word")


CHANNELS = {"others": ("&socketio", "&gateway:worker:*"), "none": ()}


@pytest.mark.parametrize("may_hear", list(CHANNELS))
async def test_where_it_is_refused_the_others_are_heard_and_nothing_hides_a_refusal_of_those(
    server: Valkey, may_hear: str
) -> None:
    user = ("gw", "on", ">pw", "~*", "+@all", "-@admin", "resetchannels", *CHANNELS[may_hear])
    await server.ask("ACL", "SETUSER", *user)
    url = server.url.replace("redis://", "redis://gw:pw@")
    with structlog.testing.capture_logs() as logs:
        async with listening(url, 10 if may_hear == "others" else 0.5) as (pubsub, heard):
            events = [line["event"] for line in logs]
            if may_hear == "others":
                assert pubsub.unhealthy_reason is None
                await server.ask("PUBLISH", keys.SOCKETIO_CHANNEL.decode(), "x")
                await until(lambda: (keys.SOCKETIO_CHANNEL, b"x") in heard.messages)
                assert events.count("subscription_given_up") == 1
                assert "subscription_refused" not in events
            else:
                assert "does not allow" in str(pubsub.unhealthy_reason)
                assert "subscription_refused" in events
