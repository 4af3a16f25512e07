"""A Redis that answers and refuses: said once, asked seldom, and never called ready."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest
from structlog.testing import capture_logs

from gateway import keys
from gateway.redis.address import FixedFinder, endpoint_of
from gateway.redis.commands import PrimaryCommands
from gateway.redis.pubsub import PrimaryPubSub
from gateway.redis.server_watch import ServerWatch
from tests.support.redis_limits import LIMITS
from tests.support.servers import Valkey
from tests.support.waiting import stays, until

pytestmark = pytest.mark.system  # servers of their own, with users that may do little

WATCHED_S = 0.8
SELDOM = 15
"""Connections in so long at most: waits grow by half from 50 ms on, with full jitter."""


class Nobody:
    """Takes what the channels tell (`RedisEvents`)."""

    def on_messages(self, messages: list[tuple[bytes, bytes]]) -> None:
        """Nothing is published."""

    def on_restored(self, channels: Sequence[bytes] | None = None) -> None:
        """Commands are back."""

    def on_channels_lost(self, channels: list[bytes]) -> None:
        """The connection is gone."""

    def on_failover(self, last_heard_s: float) -> None:
        """There is one server."""


class Refused:
    """Both connections to a server as a user that lacks some right."""

    def __init__(self, server: Valkey) -> None:
        self.server = server
        finder, watch = FixedFinder(endpoint_of(server.url.replace("//", "//app:secret@"))), ServerWatch()
        self.store = PrimaryCommands(finder, watch, "test", LIMITS)
        self.pubsub = PrimaryPubSub(finder, self.store, watch, "w1", b"SUBSCRIBE", 0.5, 1.5)

    async def start(self) -> None:
        """Connects as far as that goes."""
        await asyncio.gather(self.store.start(0.3, self.pubsub), self.pubsub.start(0.3, Nobody()))

    async def connections(self) -> int:
        """How many the server has taken."""
        return int((await self.server.ask("INFO", "stats"))["total_connections_received"])

    async def allow(self, *rules: str) -> None:
        """Gives the user other rights."""
        await self.server.ask("ACL", "SETUSER", "app", "reset", "on", ">secret", *rules)


@pytest.fixture
async def refused(server: Valkey) -> AsyncIterator[Refused]:
    made = Refused(server)
    yield made
    await made.pubsub.close()
    await made.store.close()


async def test_a_redis_that_does_not_take_scripts_is_not_up_and_is_asked_seldom(refused: Refused) -> None:
    await refused.allow("~*", "&*", "+@all", "-script")
    with capture_logs() as logged:
        await refused.start()
        before, begun = await refused.connections(), time.monotonic()
        await stays(lambda: not refused.store.is_up, WATCHED_S, "it is not up")
        asked = await refused.connections() - before
    told = [line for line in logged if line["event"] == "store_unreachable"]
    assert len(told) == 1
    assert "script|load" in told[0]["reason"]
    assert asked <= SELDOM + (time.monotonic() - begun), asked
    await refused.allow("~*", "&*", "+@all")
    await until(lambda: refused.store.is_up, 20, "it goes on when it may")


@pytest.mark.parametrize("channels", [[], ["&socketio"]])
async def test_channels_that_are_refused_are_said_once_and_make_not_ready(
    refused: Refused, channels: list[str]
) -> None:
    await refused.allow("~*", "resetchannels", *channels, "+@all")
    with capture_logs() as logged:
        await refused.start()
        before = await refused.connections()
        await stays(lambda: refused.pubsub.unhealthy_reason is not None, WATCHED_S, "it is not ready")
        asked = await refused.connections() - before
    assert "does not allow this user" in str(refused.pubsub.unhealthy_reason)
    assert len(of(logged, "subscription_refused")) == 1
    assert len(of(logged, "store_connection_lost")) == 1
    assert asked <= SELDOM, asked
    await refused.allow("~*", "&*", "+@all")
    await until(lambda: refused.pubsub.unhealthy_reason is None, 20, "it goes on when it may")


async def test_a_room_whose_channel_is_refused_is_said_by_name_of_the_right(refused: Refused) -> None:
    await refused.allow("~*", "resetchannels", "&socketio", "&gateway:*", "+@all")
    with capture_logs() as logged:
        await refused.start()
        await until(lambda: refused.pubsub.unhealthy_reason is None, what="it is ready")
        refused.pubsub.subscribe(keys.live("tea"))
        await until(lambda: of(logged, "subscription_refused"), what="the refusal is logged")
        assert "does not allow this user" in str(refused.pubsub.unhealthy_reason)


def of(logged: Sequence[Mapping[str, object]], event: str) -> list[object]:
    """The reasons in the lines of one event."""
    return [line.get("reason") for line in logged if line["event"] == event]
