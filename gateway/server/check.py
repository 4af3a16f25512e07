"""`gateway check`: judges Redis as the gateway does, and describes it and the workers that live.

Owns the order of what is told; what a server says of itself is put into words in `findings.py`. The verdict is the
gateway's own: a worker's connections are opened, the writes that a worker asks for are asked for, and what it would
say on `/readyz` is the answer. So the two agree. Waits at most `WAIT_S` for a server. What it writes it takes away
again. Never prints a password, and never changes a setting.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import statistics
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import replace

import click

from gateway import keys
from gateway.errors import StoreDenied, StoreRefused, Trouble
from gateway.option_types import SettingsError
from gateway.redis.address import is_cluster
from gateway.redis.sentinel import SentinelFinder
from gateway.rooms.routes import route_for
from gateway.server import greeting, logs
from gateway.server.admin_ui import ui_lines
from gateway.server.api_findings import api_lines
from gateway.server.api_key_lines import key_lines
from gateway.server.check_connections import WAIT_S, Server, Store, open_store
from gateway.server.connections import Connections, connections, login_of
from gateway.server.embedded_folder import running_url, state_folder
from gateway.server.explain import rule_lines
from gateway.server.findings import Facts, Wrong, describe, facts_of, parse_info, warnings
from gateway.server.health import Health
from gateway.server.identity_findings import identity_lines
from gateway.server.readiness import look_at_writes
from gateway.server.rules import configured
from gateway.server.tracing_lines import tracing_lines
from gateway.server.webhook_lines import never_told, webhook_lines
from gateway.settings import Settings
from gateway.state.write_check import WriteCheck, room

PLAIN_S, LOOK_S = 0.3, 0.02
"""What Redis refuses is believed after so long: a few attempts, not one."""
LOOKS_LEAST = 50
"""Looks before a server is given up, however late it is: a machine that stood still has not waited for it."""
PINGS = 20
"""Round trips whose median is told: enough that one slow one does not count, few enough to wait for."""

_ASKED = ("appendfsync", "save", "min-replicas-to-write")
"""Settings that decide what a crash or a failover loses."""


def check(settings: Settings) -> int:
    """Prints what it sees; returns 0, or 1 after one sentence on standard error when something is wrong."""
    logs.configure(replace(settings.log, level="error"))  # what is wrong is said by the sentence
    keys.use_prefix(settings.redis.prefix, settings.redis.is_prefix_historys_too)
    try:
        found = configured(settings)
    except SettingsError as error:
        click.echo(f"Error: {error}", err=True)
        return 1
    folder = state_folder(settings.embedded.state_dir)
    try:
        identity = list(identity_lines(settings))
    except SettingsError as error:
        click.echo(f"Error: {error}", err=True)
        return 1
    url = settings.redis.url or running_url(folder)
    if url is None:
        click.echo(f"Error: no REDIS_URL is set and no embedded Valkey runs in {folder}.", err=True)
        return 1
    try:
        asyncio.run(_print_all(url, settings))
        do_tokens_count = settings.identity.auth != "off"
        for heading, text in (
            *identity,
            *rule_lines(found.rules, do_tokens_count),
            *key_lines(found.api_keys),
            *api_lines(settings, found.api_keys),
            *ui_lines(settings, found.api_keys),
            *webhook_lines(found.webhooks),
            *(("warning", sentence) for sentence in never_told(found.webhooks, found.rules)),
            *tracing_lines(settings.tracing),
        ):
            click.echo(_line(heading, text))
    except Wrong as wrong:
        click.echo(f"Error: {wrong}", err=True)
        return 1
    return 0


async def _print_all(url: str, settings: Settings) -> None:
    """The verdict first. What cannot be described after a good one is told, and changes nothing of it."""
    await judge(url, settings)
    with ExitStack() as stack:
        try:
            async for heading, text in look(url, settings, stack):
                click.echo(_line(heading, text))
        except Wrong as untold:
            click.echo(_line("note", str(untold)))
    if (sentence := greeting.open_to_the_world([settings.server.host], settings)) is not None:
        click.echo(_line("warning", sentence))


def _line(heading: str, text: str) -> str:
    """A heading and its text; on a terminal the text stays in its column."""
    line = f"{heading:<12} {text}"
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else len(line) + 1
    return textwrap.fill(line, max(width, 40), subsequent_indent=" " * 13, break_on_hyphens=False)


async def judge(url: str, settings: Settings) -> None:
    """Raises Wrong if a worker would not be ready with this Redis: why, and whether waiting can help."""
    worker = f"check-{secrets.token_hex(4)}"
    route = route_for(settings.redis.route, is_cluster(url))
    redis, health, listener = (
        connections(url, worker, route, settings),
        Health(worker),
        ProbeListener(keys.live(room(0))),
    )
    health.watch(redis.store, redis.pubsub)
    async with AsyncExitStack() as stack:
        if isinstance(redis.finder, SentinelFinder):
            stack.push_async_callback(redis.finder.close)
        stack.push_async_callback(redis.store.close)
        stack.push_async_callback(redis.pubsub.close)
        await _start(redis, health, listener)
        if not health.unresponsive_or_cut_off:
            await asyncio.wait([redis.pubsub.subscribe(listener.channel)], timeout=WAIT_S)
        await look_at_writes(health, WriteCheck(redis.store, worker, route.publish_verb))
        if troubles := health.troubles():
            raise Wrong(_sentences(troubles))
        if not await listener.has_heard(WAIT_S):
            raise Wrong(f"A message published to a room did not come back within {WAIT_S:g} s.")


def _sentences(troubles: list[Trouble]) -> str:
    """What is wrong, then whether waiting can help."""
    said = ["; ".join(trouble.sentence for trouble in troubles)]
    said += dict.fromkeys(trouble.advice for trouble in troubles if trouble.advice)
    return " ".join(f"{each[0].upper()}{each[1:]}." for each in said)


async def _start(redis: Connections, health: Health, listener: ProbeListener) -> None:
    """Connects and listens. Returns when both stand, when it is plain that they will not, or after `WAIT_S`."""
    until_s, looks = time.monotonic() + WAIT_S, 0
    store = asyncio.create_task(redis.store.start(10 * WAIT_S, redis.pubsub))
    pubsub = asyncio.create_task(redis.pubsub.start(10 * WAIT_S, listener))
    waiting = {store, pubsub}
    while (
        waiting
        and (time.monotonic() < until_s or looks < LOOKS_LEAST)
        and not (time.monotonic() > until_s - WAIT_S + PLAIN_S and health.is_plain)
    ):
        _, waiting = await asyncio.wait(waiting, timeout=LOOK_S)
        looks += 1
    for task in waiting:
        task.cancel()
    await asyncio.gather(store, pubsub, return_exceptions=True)


class ProbeListener:
    """What the channels bring to a check: one message, published by the check's own write."""

    def __init__(self, channel: bytes) -> None:
        self.channel = channel
        self._heard = asyncio.Event()

    def on_messages(self, messages: list[tuple[bytes, bytes]]) -> None:
        if any(channel == self.channel for channel, _ in messages):
            self._heard.set()

    def on_channels_lost(self, channels: list[bytes]) -> None:
        """`Health` asks the subscriber itself."""

    def on_failover(self, last_heard_s: float) -> None:
        """A check keeps nothing of a room."""

    def on_restored(self, channels: Sequence[bytes] | None = None) -> None:
        """A check keeps nothing of a room."""

    async def has_heard(self, limit_s: float) -> bool:
        """Waits for the message."""
        try:
            async with asyncio.timeout(limit_s):
                return await self._heard.wait()
        except TimeoutError:
            return False


async def look(url: str, settings: Settings, stack: ExitStack) -> AsyncIterator[tuple[str, str]]:
    """Lines (heading, text) about a Redis that is fit, as they are found; the stack closes the connections."""
    store = await open_store(url, login_of(settings.redis), stack)
    seen = [facts for server in store.servers if (facts := await _facts(server)) is not None]
    yield "topology", store.topology
    for facts in seen:
        for line in describe(facts):
            yield line
    if not seen:
        yield "server", "does not tell what it is (INFO is refused)"
    yield "round trip", await _round_trip(store)
    yield "scripts", "work"  # `judge` has seen both
    yield "pub/sub", "works"
    yield "workers", await _workers(store, settings.presence.worker_dead_s)
    for facts in seen:
        for warning in warnings(facts):
            yield "warning", warning


async def _facts(server: Server) -> Facts | None:
    """What a server says of itself; None where it refuses to."""
    config: dict[str, str] = {}
    try:
        info = parse_info(await server.ask("INFO", "everything"))
    except (StoreRefused, StoreDenied):
        return None
    try:
        for name in _ASKED:
            found = await server.ask("CONFIG", "GET", name)
            config |= {found[0].decode(): found[1].decode()} if found else {}
    except (StoreRefused, StoreDenied):  # no permission, or a managed service without CONFIG
        config = {}
    return facts_of(str(server.endpoint), info.values, config)


async def _round_trip(store: Store) -> str:
    times_ms = []
    for _ in range(PINGS):
        for server in store.servers:
            begun = time.perf_counter()
            await server.need("PING")
            times_ms.append((time.perf_counter() - begun) * 1000)
    return f"{statistics.median(times_ms):.2f} ms (median of {len(times_ms)} PINGs)"


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
