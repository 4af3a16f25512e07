"""One worker's connections to Redis, for a URL of any topology.

Owns the choice between one server, Sentinel and a Cluster; nobody above knows which it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gateway.interfaces import CommandStore, PrimaryFinder, PubSub
from gateway.option_groups import RedisOptions
from gateway.redis.address import Endpoint, FixedFinder, endpoint_of
from gateway.redis.cluster.commands import ClusterCommands
from gateway.redis.cluster.pubsub import ClusterPubSub
from gateway.redis.commands import PrimaryCommands
from gateway.redis.connection import STALE_S, CommandOptions
from gateway.redis.pubsub import PrimaryPubSub
from gateway.redis.sentinel import SentinelFinder, SentinelLogin
from gateway.redis.server_watch import ServerWatch
from gateway.redis_url import Topology, read_redis_url
from gateway.rooms.publish_commands import publishing
from gateway.rooms.routes import Route
from gateway.settings import Settings
from gateway.state.publish_scripts import publish_scripts
from gateway.state.scripts import ALL

ANSWERED_WITHIN = 0.95
"""Share of the Redis timeout that an event may take: its answer leaves before the time is over. A command is given up
after at most as much (see `SWEEPS_PER_TIMEOUT`)."""


class HasPending(Protocol):
    """Commands to a store."""

    @property
    def pending(self) -> int: ...


class HasSilence(Protocol):
    """Channels of a store."""

    @property
    def heard_at_s(self) -> float: ...
    @property
    def channels(self) -> int: ...


@dataclass(frozen=True, slots=True)
class StoreLoad:
    """What metrics look up of both."""

    commands: HasPending
    pubsub: HasSilence


@dataclass(frozen=True, slots=True)
class Connections:
    """What a worker has of Redis; nothing is connected yet."""

    store: CommandStore
    pubsub: PubSub
    watch: ServerWatch
    load: StoreLoad
    finder: PrimaryFinder[Endpoint] | None = None
    """Notices that another primary took over; None where the connections notice by themselves (a Cluster)."""

    def drop(self, reason: str) -> None:
        """Gives up the present connections and finds the servers again."""
        self.store.drop(reason)
        self.pubsub.drop(reason)


def login_of(redis: RedisOptions) -> SentinelLogin:
    """Who asks the Sentinels."""
    return SentinelLogin(redis.sentinel_username, redis.sentinel_password)


def connections(url: str, worker: str, route: Route, settings: Settings) -> Connections:
    """Commands and channels for a URL of any topology, and what notices that another primary took over."""
    redis, name, watch = settings.redis, f"gateway-{worker}", ServerWatch()
    topology = read_redis_url(url).topology
    is_alone = topology is Topology.ALONE
    made = publish_scripts(publishing(route, settings.publish, topology is Topology.CLUSTER))
    options = CommandOptions(
        timeout_s=redis.timeout_s,
        unresponsive_s=redis.unresponsive_s,
        # With WAIT an answer may take long, and one of a server that was replaced lacks its replicas.
        stale_s=None if is_alone or settings.publish.wait_replicas else STALE_S,
        scripts=(*ALL, *(made if settings.tracing.is_on else made[:2])),
    )
    if topology is Topology.CLUSTER:
        cluster = ClusterCommands(url, watch, name, options)
        channels = ClusterPubSub(cluster, watch, worker, redis.probe_s, redis.unresponsive_s)
        return Connections(cluster, channels, watch, StoreLoad(cluster, channels))
    finder = FixedFinder(endpoint_of(url)) if is_alone else SentinelFinder(url, login_of(redis))
    store = PrimaryCommands(finder, watch, name, options)
    pubsub = PrimaryPubSub(
        finder, store, watch, worker, route.subscribe_verb, redis.probe_s, redis.unresponsive_s
    )
    return Connections(store, pubsub, watch, StoreLoad(store, pubsub), finder)
