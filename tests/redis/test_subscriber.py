"""Channels on a real Valkey: confirmed before told, everything again after a break, silence noticed."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
import redis.asyncio as redis

from gateway import keys
from gateway.metrics import deaf
from gateway.redis.address import FixedFinder, endpoint_of, open_connection
from gateway.redis.commands import PrimaryCommands
from gateway.redis.pubsub import PrimaryPubSub
from gateway.redis.server_watch import ServerWatch
from gateway.redis.subscriber import Subscriber, Subscriptions
from gateway.redis.subscriber_connection import SubscriberConnection
from tests.support.redis_limits import LIMITS
from tests.support.servers import Valkey
from tests.support.topologies import standalone
from tests.support.waiting import HeldUp, Stopwatch, stays, tried_again, until

PROBE_S, DEAF_S = 0.2, 0.8
LIMIT_S = 10.0


@pytest.fixture
async def server() -> AsyncIterator[Valkey]:
    async with standalone("none") as server:
        yield server


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[redis.Redis]:
    client = redis.Redis.from_url(redis_url)
    yield client
    await client.aclose()


class Heard:
    """What came in, and how often everything was back. Listens to a pubsub (`RedisEvents`)."""

    def __init__(self) -> None:
        self.messages: list[tuple[bytes, bytes]] = []
        self.reads = self.backs = 0
        self.back: Callable[[], None] | None = None

    def on_messages(self, messages: list[tuple[bytes, bytes]]) -> None:
        self.reads += 1
        self.messages += messages

    def on_restored(self, channels: Sequence[bytes] | None = None) -> None:
        self.backs += 1
        if self.back is not None:
            self.back()

    def on_channels_lost(self, channels: list[bytes]) -> None:
        """Seen by what is not heard."""

    def on_failover(self, last_heard_s: float) -> None:
        """Another server."""

    def payloads(self, channel: bytes) -> list[bytes]:
        return [payload for name, payload in self.messages if name == channel]


class SubscriberHeard(Heard):
    """The same for one connection (`SubscriberEvents`)."""

    def __init__(self, subscriber: Subscriber) -> None:
        super().__init__()
        self._subscriber = subscriber

    def on_subscriber_up(self) -> None:
        """Nothing is subscribed yet."""

    def on_subscribed(self) -> None:
        self.on_restored()

    def on_subscription_ended(self, channel: bytes) -> None:
        self._subscriber.drop("the server ended a subscription")

    def on_subscriber_lost(self) -> None:
        """It is opened again."""

    def on_unresponsive(self) -> None:
        raise AssertionError("nothing is silent here for two minutes")

    def probe(self) -> None:
        raise AssertionError("nothing is silent here for a minute")


@asynccontextmanager
async def subscriber_on(redis_url: str) -> AsyncIterator[tuple[Subscriber, Heard]]:
    """A connection that listens, already connected."""

    async def connect(make: Callable[[], SubscriberConnection]) -> SubscriberConnection:
        return await open_connection(endpoint_of(redis_url), make, f"test-{uuid.uuid4().hex}")

    subscriber = Subscriber("test", connect, b"SUBSCRIBE", 60, 120)
    heard = SubscriberHeard(subscriber)
    first = subscriber.subscriptions.want(channel())
    subscriber.start(heard, heard.on_messages)
    try:
        await asyncio.wait_for(asyncio.shield(first), LIMIT_S)
        yield subscriber, heard
    finally:
        await subscriber.close()


@asynccontextmanager
async def pubsub_on(
    server: Valkey, start_s: float = LIMIT_S
) -> AsyncIterator[tuple[PrimaryPubSub, PrimaryCommands, Heard]]:
    """Channels and commands; the channels notice silence soon. `backs` counts from when both stand."""
    finder, worker, heard = FixedFinder(endpoint_of(server.url)), uuid.uuid4().hex, Heard()
    watch = ServerWatch()
    store = PrimaryCommands(finder, watch, worker, LIMITS)
    pubsub = PrimaryPubSub(finder, store, watch, worker, b"SUBSCRIBE", PROBE_S, DEAF_S)
    await asyncio.gather(store.start(start_s), pubsub.start(start_s, heard))
    try:
        yield pubsub, store, heard
    finally:
        await pubsub.close()
        await store.close()


def channel() -> bytes:
    return keys.live(f"room-{uuid.uuid4().hex}")


async def confirmed(future: asyncio.Future[None]) -> None:
    await asyncio.wait_for(asyncio.shield(future), LIMIT_S)


async def test_what_is_published_after_the_confirmation_is_heard(redis_url: str, client: redis.Redis) -> None:
    async with subscriber_on(redis_url) as (subscriber, heard):
        name = channel()
        await confirmed(subscriber.subscriptions.want(name))
        for number in range(100):
            await client.publish(name, str(number))
        await until(lambda: len(heard.messages) == 100, what="all messages")
        assert heard.payloads(name) == [b"%d" % number for number in range(100)]


async def test_one_read_hands_on_all_that_it_brought(redis_url: str, client: redis.Redis) -> None:
    async with subscriber_on(redis_url) as (subscriber, heard):
        name = channel()
        await confirmed(subscriber.subscriptions.want(name))
        pipeline = client.pipeline(transaction=True)
        for number in range(200):
            pipeline.publish(name, str(number))
        await pipeline.execute()
        await until(lambda: len(heard.messages) == 200, what="all messages")
        assert heard.reads < 50


async def test_wanting_twice_is_one_subscription(redis_url: str, client: redis.Redis) -> None:
    async with subscriber_on(redis_url) as (subscriber, _):
        name = channel()
        first, second = subscriber.subscriptions.want(name), subscriber.subscriptions.want(name)
        assert first is second
        await confirmed(first)
        assert await client.publish(name, "x") == 1


async def test_what_was_dropped_is_not_heard_and_its_waiters_are_told(
    redis_url: str, client: redis.Redis
) -> None:
    async with subscriber_on(redis_url) as (subscriber, heard):
        name = channel()
        waiting = subscriber.subscriptions.want(name)
        subscriber.subscriptions.drop(name)
        assert waiting.cancelled()

        async def is_unsubscribed() -> bool:
            return int(await client.publish(name, "x")) == 0

        await until(is_unsubscribed, what="the subscription ends")
        assert heard.backs == 1


async def test_giving_up_a_channel_and_taking_it_up_again_at_once_disturbs_nobody(
    redis_url: str, client: redis.Redis
) -> None:
    async with subscriber_on(redis_url) as (subscriber, heard):
        name = channel()
        for _ in range(5):
            await confirmed(subscriber.subscriptions.want(name))
            subscriber.subscriptions.drop(name)
        for _ in range(5):
            subscriber.subscriptions.want(name)
            subscriber.subscriptions.drop(name)
        await confirmed(subscriber.subscriptions.want(name))
        assert await client.publish(name, "x") == 1
        await until(lambda: heard.payloads(name) == [b"x"], what="the message")
        await stays(lambda: heard.backs == 1, 0.2, "the connection was never given up")


async def test_a_subscription_counts_as_confirmed_only_after_the_last_request_for_it() -> None:
    subscriptions = Subscriptions(b"SUBSCRIBE")
    sent: list[tuple[bytes, list[bytes]]] = []

    class Wire:
        """Keeps what is subscribed to."""

        def subscribe(self, verb: bytes, channels: list[bytes]) -> None:
            sent.append((verb, channels))

    subscriptions.begin(Wire())  # type: ignore[arg-type]
    subscriptions.want(b"c")
    subscriptions.drop(b"c")
    again = subscriptions.want(b"c")
    assert [verb for verb, _ in sent] == [b"SUBSCRIBE", b"UNSUBSCRIBE", b"SUBSCRIBE"]
    assert not subscriptions.confirmed(b"c"), "the first one's"
    assert not again.done()
    assert not subscriptions.ended(b"c"), "asked for"
    assert subscriptions.confirmed(b"c")
    assert again.done()
    assert subscriptions.ended(b"c"), "nobody asked for that"


async def test_after_a_break_everything_is_subscribed_again_before_that_is_told(
    server: Valkey, room: str
) -> None:
    async with pubsub_on(server) as (pubsub, _, heard):
        names = [channel() for _ in range(700)]
        await asyncio.wait_for(asyncio.gather(*(pubsub.subscribe(name) for name in names)), LIMIT_S)
        assert heard.backs == 1
        counts: list[int] = []

        async def count() -> None:
            counts.append(sum([await server.ask("PUBLISH", name, "x") for name in (names[0], names[-1])]))

        counting: list[asyncio.Task[None]] = []
        heard.back = lambda: counting.append(asyncio.create_task(count()))
        await server.ask("CLIENT", "KILL", "TYPE", "pubsub")
        await until(lambda: counts, what="everything is back")
        assert counts == [2]
        await until(lambda: heard.payloads(names[-1]) == [b"x"], what="it is heard")
        assert pubsub.unhealthy_reason is None


async def test_a_wait_for_confirmation_outlives_a_break(server: Valkey, room: str) -> None:
    async with pubsub_on(server) as (pubsub, _, _):
        server.kill()
        await until(lambda: pubsub.unhealthy_reason is not None, what="the break is noticed")
        waiting = pubsub.subscribe(keys.live(room))
        assert not waiting.done()
        await server.start()
        await asyncio.wait_for(asyncio.shield(waiting), LIMIT_S)


@pytest.mark.system
@tried_again(HeldUp)
async def test_a_silent_connection_is_probed_and_stays(server: Valkey) -> None:
    before = deaf.value
    async with pubsub_on(server) as (pubsub, _, heard):
        backs = heard.backs
        async with Stopwatch() as watch:
            await until(
                lambda: any(payload == b"?" for _, payload in heard.messages), what="a probe is heard"
            )
            reasons: list[str | None] = []

            def look() -> bool:
                reasons.append(pubsub.unhealthy_reason)
                return True

            await stays(look, DEAF_S)
        if watch.held_up_s > DEAF_S / 2:
            raise HeldUp("this process itself did not hear for a while")
        assert set(reasons) == {None}, "it hears"
        assert (heard.backs, deaf.value) == (backs, before)


@pytest.mark.system
async def test_a_deaf_connection_is_found_out_and_replaced(server: Valkey, room: str) -> None:
    before = deaf.value
    async with pubsub_on(server) as (pubsub, _, heard):
        await confirmed(pubsub.subscribe(keys.live(room)))
        server.freeze()
        try:
            await until(lambda: pubsub.unhealthy_reason is not None, DEAF_S + 1.5, "it counts as deaf")
            await until(lambda: deaf.value > before, what="and is dropped")
        finally:
            server.thaw()
        await until(lambda: pubsub.unhealthy_reason is None and heard.backs >= 2, 8, "it hears again")
        await server.ask("PUBLISH", keys.live(room), "x")
        await until(lambda: heard.payloads(keys.live(room)) == [b"x"], what="the message")


async def test_a_subscription_that_redis_refuses_does_not_spin(server: Valkey) -> None:
    await server.ask("ACL", "SETUSER", "default", "resetchannels", "&allowed")
    async with pubsub_on(server, start_s=0.2) as (pubsub, _, _):
        before = int((await server.ask("INFO", "stats"))["total_connections_received"])
        await stays(lambda: pubsub.unhealthy_reason is not None, 0.5, "it says that it does not hear")
        after = int((await server.ask("INFO", "stats"))["total_connections_received"])
    assert after - before < 30
