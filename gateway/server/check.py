"""`gateway check`: looks at Redis by the ways that the gateway takes, and at the workers that live.

Owns the questions; what the answers mean is in `findings.py`. URLs are read, primaries are found and connections are
opened by the gateway's own functions, so that what works here works there. Waits at most 3 s for a server. Writes one
key that it takes away again, and publishes to itself. Never prints a password, and never changes a setting.
"""

from __future__ import annotations

import asyncio
import statistics
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import replace

import click

from gateway import keys
from gateway.errors import StoreError, StoreRefused
from gateway.server import logs
from gateway.server.check_connections import ECHO, WAIT_S, Server, Store, open_listener, open_store
from gateway.server.embedded_folder import running_url, state_folder
from gateway.server.findings import (
    Facts,
    Wrong,
    describe,
    facts_of,
    parse_info,
    refuse_unfit,
    warnings,
)
from gateway.settings import Settings

PINGS = 20
"""Round trips whose median is told: enough that one slow one does not count, few enough to wait for."""

_ASKED = ("appendfsync", "save", "min-replicas-to-write")
"""Settings that decide what a crash or a failover loses."""


def check(settings: Settings) -> int:
    """Prints what it sees; returns 0, or 1 after one sentence on standard error when something is wrong."""
    logs.configure(replace(settings.log, level="error"))  # what is wrong is said by the sentence
    keys.use_prefix(settings.redis.prefix, settings.redis.is_prefix_historys_too)
    folder = state_folder(settings.embedded.state_dir)
    url = settings.redis.url or running_url(folder)
    if url is None:
        click.echo(f"Error: no REDIS_URL is set and no embedded Valkey runs in {folder}.", err=True)
        return 1
    try:
        asyncio.run(_print_all(url, settings.presence.worker_dead_s))
    except Wrong as wrong:
        click.echo(f"Error: {wrong}", err=True)
        return 1
    return 0


async def _print_all(url: str, worker_dead_s: float) -> None:
    with ExitStack() as stack:
        async for heading, text in look(url, worker_dead_s, stack):
            click.echo(f"{heading:<12} {text}")


async def look(url: str, worker_dead_s: float, stack: ExitStack) -> AsyncIterator[tuple[str, str]]:
    """Lines (heading, text) as they are found; the stack closes the connections. Raises Wrong."""
    store = await open_store(url, stack)
    seen = [await _facts(server, store.is_cluster) for server in store.servers]
    yield "topology", store.topology
    for facts in seen:
        for line in describe(facts):
            yield line
    yield "round trip", await _round_trip(store)
    yield "scripts", await _scripts(store)
    yield "pub/sub", await _publish_to_self(store, stack)
    yield "workers", await _workers(store, worker_dead_s)
    for facts in seen:
        for warning in warnings(facts):
            yield "warning", warning


async def _facts(server: Server, expects_cluster: bool) -> Facts:
    info = parse_info(await server.need("INFO", "everything"))
    config: dict[str, str] = {}
    try:
        for name in _ASKED:
            found = await server.ask("CONFIG", "GET", name)
            config |= {found[0].decode(): found[1].decode()} if found else {}
    except StoreRefused:  # no permission, or a managed service without CONFIG
        config = {}
    facts = facts_of(str(server.endpoint), info.values, config)
    refuse_unfit(facts, expects_cluster)
    return facts


async def _round_trip(store: Store) -> str:
    times_ms = []
    for _ in range(PINGS):
        for server in store.servers:
            begun = time.perf_counter()
            await server.need("PING")
            times_ms.append((time.perf_counter() - begun) * 1000)
    return f"{statistics.median(times_ms):.2f} ms (median of {len(times_ms)} PINGs)"


async def _scripts(store: Store) -> str:
    word = uuid.uuid4().hex.encode()
    key = keys.check(word)
    server = store.holder(key)
    answer = await server.run(ECHO, key, word)
    if answer != word:
        raise Wrong("A script did not read what it had written.")
    return "work"


async def _publish_to_self(store: Store, stack: ExitStack) -> str:
    """Subscribes, publishes and waits for it; by the sharded commands on a Cluster."""
    channel = keys.check(uuid.uuid4().hex.encode())
    listen, tell = ("SSUBSCRIBE", "SPUBLISH") if store.is_cluster else ("SUBSCRIBE", "PUBLISH")
    server = store.holder(channel)
    heard = asyncio.Event()

    def on_messages(messages: list[tuple[bytes, bytes]]) -> None:
        if (channel, channel) in messages:
            heard.set()

    listener = await open_listener(server, on_messages, stack)
    try:
        async with asyncio.timeout(WAIT_S):
            await listener.call(listen, channel)
            await server.need(tell, channel, channel)
            await heard.wait()
    except StoreError as error:
        raise server.wrong(error) from error
    except TimeoutError as late:
        raise Wrong(
            f"A message published to the channel of this check did not come back within {WAIT_S:g} s."
        ) from late
    return "works"


async def _workers(store: Store, worker_dead_s: float) -> str:
    server = store.holder(keys.WORKERS)
    seconds, microseconds = await server.need("TIME")
    now = int(seconds) + int(microseconds) / 1e6
    found = await server.need("ZRANGE", keys.WORKERS, "0", "-1", "WITHSCORES")
    older = store.holder(keys.OLDER_WORKERS)
    found += await older.need("ZRANGE", keys.OLDER_WORKERS, "0", "-1", "WITHSCORES")
    ages_s = {name.decode(): now - float(at) for name, at in zip(found[::2], found[1::2], strict=True)}
    live = sorted((name, age_s) for name, age_s in ages_s.items() if age_s < worker_dead_s)
    if not live:
        return "none live"
    return f"{len(live)} live: " + ", ".join(
        f"{name} (heard {max(age_s, 0):.0f} s ago)" for name, age_s in live
    )
