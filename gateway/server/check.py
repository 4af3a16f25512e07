"""`gateway check`: looks at Redis as the gateway would use it, and at the workers that live.

Owns the questions; what the answers mean is in `findings.py`. Every wait is bounded by 3 s per server. Writes
one key that it takes away again, and publishes to itself. Never prints a password, and never changes a
setting.
"""

from __future__ import annotations

import statistics
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import click
import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import parse_url
from redis.exceptions import RedisClusterException
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from gateway import keys
from gateway.server.embedded import running_url, state_folder
from gateway.server.findings import Facts, Wrong, describe, facts_of, refuse_unfit, warnings
from gateway.settings import Settings

WAIT_S = 3.0
PINGS = 20
_LIMITS: Mapping[str, Any] = {"socket_timeout": WAIT_S, "socket_connect_timeout": WAIT_S, "protocol": 2}
_ASKED = ("appendfsync", "save", "min-replicas-to-write")
_ECHO = """
redis.call('SET', KEYS[1], ARGV[1], 'PX', 10000)
local value = redis.call('GET', KEYS[1])
redis.call('DEL', KEYS[1])
return value
"""


@dataclass(frozen=True, slots=True)
class Store:
    """An open way to Redis: what takes commands, each server that takes writes, and the topology in words."""

    client: Any
    primaries: tuple[tuple[str, Any], ...]
    topology: str
    is_cluster: bool = False


def check(settings: Settings) -> int:
    """Prints what it sees; returns 0, or 1 after one sentence on standard error when something is wrong."""
    url = settings.redis_url or running_url(state_folder(settings.state_dir))
    if url is None:
        folder = state_folder(settings.state_dir)
        click.echo(f"Error: no REDIS_URL is set and no embedded Valkey runs in {folder}.", err=True)
        return 1
    try:
        with ExitStack() as stack:
            for heading, text in look(url, settings.worker_dead_s, stack):
                click.echo(f"{heading:<12} {text}")
    except (Wrong, redis.RedisError, RedisClusterException, OSError) as error:
        click.echo(f"Error: {_without_secrets(_sentence(error, url), url)}", err=True)
        return 1
    return 0


def look(url: str, worker_dead_s: float, stack: ExitStack) -> Iterator[tuple[str, str]]:
    """Lines (heading, text) as they are found; the stack closes the connections.

    Raises Wrong, or what redis-py raises.
    """
    store = _open(url, stack)
    seen = []
    for address, server in store.primaries:
        facts = _facts(address, server)
        seen.append(facts)
        refuse_unfit(facts, store.is_cluster)
    yield "topology", store.topology
    for facts in seen:
        yield from describe(facts)
    yield "round trip", _round_trip(store)
    yield "scripts", _scripts(store.client)
    yield "pub/sub", _publish_to_self(store)
    yield "workers", _workers(store.client, worker_dead_s)
    for facts in seen:
        for warning in warnings(facts):
            yield "warning", warning


def _open(url: str, stack: ExitStack) -> Store:
    scheme, _, rest = url.replace("valkeys://", "rediss://", 1).replace("valkey", "redis", 1).partition("://")
    try:
        if scheme == "redis+sentinel":
            return _by_sentinel(rest, stack)
        if scheme in ("redis+cluster", "rediss+cluster"):
            return _by_cluster(rest, scheme.startswith("rediss"), stack)
        options = dict(parse_url(f"{scheme}://{rest}"))  # type: ignore[no-untyped-call]
    except ValueError as error:  # its text may hold a part of the password
        raise Wrong(
            "The URL of Redis cannot be read: percent-encode the odd characters of its password."
        ) from error
    address = options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
    client = stack.enter_context(
        redis.Redis.from_url(f"{scheme}://{rest}", retry=Retry(NoBackoff(), 0), **_LIMITS)
    )
    return Store(client, ((address, client),), "standalone: one server, named by the URL")


def _by_sentinel(rest: str, stack: ExitStack) -> Store:
    hosts, way_in, path = _listed(rest, 26379)
    database, _, service = path.partition("/")
    service = service or "mymaster"
    limits = {
        "socket_timeout": 1.0,
        "socket_connect_timeout": 1.0,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
    }
    sentinel: Any = Sentinel(hosts, sentinel_kwargs=limits)  # type: ignore[no-untyped-call]
    for asked in sentinel.sentinels:
        stack.enter_context(asked)
    try:
        host, port = sentinel.discover_master(service)
    except MasterNotFoundError as error:
        named = ", ".join(f"{host}:{port}" for host, port in hosts)
        raise Wrong(f"No Sentinel of {named} names a healthy primary for the service {service}.") from error
    replicas = ", ".join(f"{host}:{port}" for host, port in sentinel.discover_slaves(service)) or "none"
    client = stack.enter_context(
        redis.Redis(
            host=host, port=port, db=int(database or 0), retry=Retry(NoBackoff(), 0), **way_in, **_LIMITS
        )
    )
    topology = f"Sentinel, service {service}: primary {host}:{port}, healthy replicas {replicas}"
    return Store(client, ((f"{host}:{port}", client),), topology)


def _by_cluster(rest: str, is_tls: bool, stack: ExitStack) -> Store:
    hosts, way_in, _ = _listed(rest, 6379)
    nodes = [ClusterNode(host, port) for host, port in hosts]  # type: ignore[no-untyped-call]
    limits: dict[str, Any] = {**_LIMITS, "require_full_coverage": False, "retry": Retry(NoBackoff(), 0)}
    try:
        client = stack.enter_context(RedisCluster(startup_nodes=nodes, ssl=is_tls, **way_in, **limits))
    except LookupError as error:  # what redis-py 8.1 raises when no node has a slot
        raise Wrong("The Cluster is down: no node serves any slot.") from error
    primaries = tuple((node.name, client.get_redis_connection(node)) for node in client.get_primaries())
    state = primaries[0][1].execute_command("CLUSTER INFO")
    if state.get("cluster_state") != "ok":
        raise Wrong("The Cluster is down: some slots have no primary that answers.")
    names = ", ".join(name for name, _ in primaries)
    topology = f"Cluster of {len(primaries)} primaries ({names}) and {len(client.get_replicas())} replicas"
    return Store(client, primaries, topology, is_cluster=True)


def _listed(rest: str, usual_port: int) -> tuple[list[tuple[str, int]], dict[str, Any], str]:
    """Hosts, user and password, and the path of a URL with several hosts."""
    place, _, path = rest.partition("/")
    credentials, _, places = place.rpartition("@")
    user, _, password = credentials.partition(":")
    way_in: dict[str, Any] = {"username": unquote(user)} if user else {}
    if password:
        way_in["password"] = unquote(password)
    split = [urlsplit(f"//{each}") for each in places.split(",") if each]
    hosts = [(each.hostname or "localhost", each.port or usual_port) for each in split]
    return hosts, way_in, path


def _facts(address: str, server: Any) -> Facts:
    info = server.info("everything")
    try:
        config = {name: server.config_get(name).get(name) for name in _ASKED}
    except redis.ResponseError:  # no permission, or a managed service without CONFIG
        config = {}
    return facts_of(address, info, {name: value for name, value in config.items() if value is not None})


def _round_trip(store: Store) -> str:
    times_ms = []
    for _ in range(PINGS):
        for _, server in store.primaries:
            begun = time.perf_counter()
            server.ping()
            times_ms.append((time.perf_counter() - begun) * 1000)
    return f"{statistics.median(times_ms):.2f} ms (median of {len(times_ms)} PINGs)"


def _scripts(client: Any) -> str:
    word = uuid.uuid4().hex
    answer = client.eval(_ECHO, 1, f"gateway:check:{word}", word)
    if answer != word.encode():
        raise Wrong("A script did not read what it had written.")
    return "work"


def _publish_to_self(store: Store) -> str:
    """Subscribes, publishes and waits for it; by the sharded commands on a Cluster."""
    channel = f"gateway:check:{uuid.uuid4().hex}"
    with store.client.pubsub() as listener:
        if store.is_cluster:
            listener.ssubscribe(channel)
            store.client.spublish(channel, channel)
            read = listener.get_sharded_message
        else:
            listener.subscribe(channel)
            store.client.publish(channel, channel)
            read = listener.get_message
        deadline = time.monotonic() + WAIT_S
        while (left_s := deadline - time.monotonic()) > 0:
            message = read(timeout=left_s)
            if message and message["type"].endswith("message"):
                return "works"
    raise Wrong(f"A message published to the channel of this check did not come back within {WAIT_S:g} s.")


def _workers(client: Any, worker_dead_s: float) -> str:
    seconds, microseconds = client.time()
    now = seconds + microseconds / 1e6
    beats = client.zrange(keys.WORKERS, 0, -1, withscores=True)
    live = sorted((name.decode(), now - at) for name, at in beats if now - at < worker_dead_s)
    if not live:
        return "none live"
    return f"{len(live)} live: " + ", ".join(
        f"{name} (heard {max(age_s, 0):.0f} s ago)" for name, age_s in live
    )


def _sentence(error: Exception, url: str) -> str:
    place = url.partition("://")[2].rpartition("@")[2].partition("?")[0]
    text = str(error).rpartition("reachable node: ")[2].rstrip(".")
    if isinstance(error, Wrong):
        return str(error)
    if isinstance(error, redis.AuthenticationError) or "NOAUTH" in text or "Authentication" in text:
        return f"{place} does not let this user in: {text}."
    if isinstance(error, redis.exceptions.NoPermissionError):
        return f"{place} does not allow this user what the gateway needs: {text}."
    if isinstance(error, redis.ReadOnlyError):
        return f"{place} is read-only: {text}."
    if isinstance(error, redis.ResponseError):
        return f"{place} refuses what the gateway needs: {text}."
    if isinstance(error, redis.TimeoutError):
        return f"{place} does not answer within {WAIT_S:g} s."
    return f"{place} cannot be reached: {text}."


def _without_secrets(text: str, url: str) -> str:
    credentials, found, _ = url.partition("://")[2].rpartition("@")
    password = credentials.partition(":")[2]
    for secret in {password, unquote(password)} - {""} if found else set():
        text = text.replace(secret, "***")
    return text
