"""Random frames, payloads and requests from several seeds: no worker ends, no traceback, no memory that stays.

What counts is what the server has read, by its own counters: what died unread with its connection was no test.
`HOSTILE_FRAMES` says how much each of the six runs is to read (100,000; 1,670,000 make 10 million);
`pytest -m long tests/system/test_hostile_fuzz.py`.
"""

from __future__ import annotations

import asyncio
import os
from random import Random

import aiohttp
import psutil
import pytest

from tests.support.fuzz import batches, over_http, over_polling, over_websocket
from tests.support.gateways import Gateway
from tests.support.waiting import stays, until

READ = int(os.environ.get("HOSTILE_FRAMES", "100000"))
WEBSOCKETS, POLLINGS, HTTPS = 200, 20, 4
"""Connections of each way at once."""
SHARES = {
    "gateway_frames_read_total": 0.945,
    "gateway_packets_read_total": 0.05,
    "gateway_requests_read_total": 0.005,
}
"""What the server reads, and how much of all is to be read so."""
SHORT = {
    "GATEWAY_LOG_LEVEL": "error",
    "GATEWAY_CONNECT_TIMEOUT_S": "2",
    "GATEWAY_GRACE_S": "1",
}
ASK_S, SETTLE_S = 0.5, 5.0
GROWTH = 1.04
"""By how much a worker's resident memory may grow from the end of the first third to the end of the last."""


class Reading:
    """What one worker has read, by its counters."""

    def __init__(self, gateway: Gateway) -> None:
        self._url = f"{gateway.url}/metrics"
        self.counts = dict.fromkeys(SHARES, 0)
        self._wanted = 0.0

    async def follow(self, wanted: float) -> None:
        """Returns once each way has read its share of `wanted`."""
        self._wanted = wanted
        async with aiohttp.ClientSession() as web:
            while not all(map(self.is_enough, SHARES)):
                async with web.get(self._url) as response:
                    lines = (await response.text()).splitlines()
                for name in SHARES:
                    (line,) = (line for line in lines if line.startswith(name))
                    self.counts[name] = int(line.split()[-1])
                await stays(lambda: True, ASK_S)

    def is_enough(self, name: str) -> bool:
        """Whether one way has read its share."""
        return self.counts[name] >= self._wanted * SHARES[name]


async def fuzz(port: int, reading: Reading, wanted: float, seed: str, is_compressing: bool) -> None:
    """Sends by all ways until the server has read so much."""

    def is_enough(name: str) -> bool:
        return reading.is_enough(f"gateway_{name}_read_total")

    blocks = batches(Random(seed), is_compressing)
    following = asyncio.create_task(reading.follow(wanted))
    async with asyncio.TaskGroup() as group:
        for number in range(WEBSOCKETS):
            random = Random(f"{seed} websocket {number}")
            group.create_task(
                over_websocket(port, random, lambda: is_enough("frames"), blocks, is_compressing)
            )
        for number in range(POLLINGS):
            random = Random(f"{seed} polling {number}")
            group.create_task(over_polling(port, random, lambda: is_enough("packets")))
        for number in range(HTTPS):
            random = Random(f"{seed} http {number}")
            group.create_task(over_http(port, random, lambda: is_enough("requests")))
    await following


async def settled_bytes(worker: psutil.Process) -> int:
    """A worker's resident memory, once the connections of the fuzz are gone and their grace period is over."""
    await until(lambda: len(worker.net_connections()) < 12, 60, "all connections are gone")
    await stays(worker.is_running, SETTLE_S)
    return int(worker.memory_info().rss)


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("compression", ["off", "on"])
async def test_nothing_that_is_sent_ends_a_worker_or_stays(
    redis_url: str, seed: int, compression: str
) -> None:
    async with Gateway(redis_url, 1, environment=SHORT, GATEWAY_COMPRESSION=compression) as gateway:
        (pid,) = gateway.worker_pids()
        worker, reading = psutil.Process(pid), Reading(gateway)
        sizes = []
        for third in (1, 2, 3):
            await fuzz(gateway.port, reading, READ * third / 3, f"{seed} {third}", compression == "on")
            sizes.append(await settled_bytes(worker))
            told = ", ".join(f"{number} {name[8:-11]}" for name, number in reading.counts.items())
            print(f"seed {seed}, compression {compression}: read {told}; {sizes[-1] >> 10} KiB", flush=True)
        assert gateway.worker_pids() == [pid]
        log = gateway.log()
        assert "Traceback" not in log, log[:20_000]
        assert await gateway.is_ready()
        assert sizes[-1] < sizes[0] * GROWTH, sizes
