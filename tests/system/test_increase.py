"""What Prometheus finds by `increase()` over kills and reloads of workers: what the clients' ledger has.

Nobody sends from one scrape before a fault until one after it. So what a dying worker has counted since it was scraped
last, which nobody can find again, is no part of the question, and all else is: numbers of workers that stay or come
again, counters that begin again, what a scrape shows of those who come and go.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from tests.support.clients import Member
from tests.support.gateways import Gateway
from tests.support.prometheus import Prometheus
from tests.support.waiting import until

TIMES, SENDERS, PAUSE_S = 20, 8, 0.02
SCRAPE_MS, BETWEEN_S = 500, 3.0
OFF_AT_MOST = 0.01
TRUTH = "sum(increase(gateway_acknowledged_total[1h]))"
"""The window is longer than the run, and the run is long: what `increase()` extrapolates at the window's ends,
the time of a scrape at most, is about a thousandth."""


GONE = (OSError, TimeoutError, aiohttp.ClientError)
"""What a client sees of a worker that is gone."""


class Ledger:
    """A sender that comes back whenever its worker is gone, and counts what was acknowledged."""

    def __init__(self, url: str, room: str, name: str) -> None:
        self._url, self._room, self._name = url, room, name
        self.acknowledged = 0
        self.is_over = False
        self.is_idle = False
        self.may_send = asyncio.Event()

    async def run(self) -> None:
        """Connects until it is over; a refused or broken connection is tried again."""
        while not self.is_over:
            try:
                member = await Member.connect(self._url, limit_s=5.0)
            except GONE:
                await asyncio.sleep(0.1)
                continue
            try:
                await self._talk(member)
            finally:
                await member.close()

    async def _talk(self, member: Member) -> None:
        """Sends until the connection ends."""
        try:
            await member.join(self._name, self._room)
            while not self.is_over and not member.closed.is_set():
                self.is_idle = not self.may_send.is_set()
                await self.may_send.wait()
                self.is_idle = False
                answer = await member.send(self._room, "hello")
                self.acknowledged += bool(answer.get("ok"))
                await asyncio.sleep(PAUSE_S)
        except GONE:
            pass  # its worker was killed: what was not acknowledged is not in the ledger


class Watched:
    """A gateway with its Prometheus, and those who send."""

    def __init__(self, gateway: Gateway, prometheus: Prometheus, ledgers: list[Ledger]) -> None:
        self.gateway, self.prometheus, self.ledgers = gateway, prometheus, ledgers

    async def talk(self) -> None:
        """Everybody sends for a while. Returns when nobody does and all of it was scraped."""
        for each in self.ledgers:
            each.may_send.set()
        await asyncio.sleep(BETWEEN_S)
        for each in self.ledgers:
            each.may_send.clear()
        await until(lambda: all(each.is_idle for each in self.ledgers), 30, "nobody sends")
        await self.scraped()

    async def scraped(self) -> None:
        """Waits for a scrape that began after now and shows as many workers as there should be, and no others."""
        since_s = time.time() + SCRAPE_MS / 1000

        async def is_seen() -> bool:
            found = await self.prometheus.query("timestamp(gateway_worker_up)")
            up = await self.prometheus.query("gateway_worker_up == 1")
            fresh = [each for each in found if float(each["value"][1]) > since_s]
            return len(fresh) == len(found) == len(up) == self.gateway.workers

        await until(is_seen, 60, "Prometheus has seen all workers")

    async def off(self, when: str) -> float:
        """By what share `increase()` is off from the ledger."""
        truth = sum(each.acknowledged for each in self.ledgers)
        (found,) = await self.prometheus.query(TRUTH)
        increase = float(found["value"][1])
        off = increase / truth - 1
        print(f"{when}: ledger {truth}, increase() {increase:.0f}: off by {off:+.2%}")
        return off


@asynccontextmanager
async def watched(redis_url: str, room: str) -> AsyncIterator[Watched]:
    """Senders, who do not send yet, and a Prometheus that has seen all workers."""
    async with Gateway(redis_url, workers=4) as gateway, Prometheus(gateway.url, SCRAPE_MS) as prometheus:
        ledgers = [Ledger(gateway.url, f"{room}-{number}", f"ann{number}") for number in range(SENDERS)]
        senders = [asyncio.create_task(each.run()) for each in ledgers]
        found = Watched(gateway, prometheus, ledgers)
        await found.scraped()
        try:
            yield found
        finally:
            for each in ledgers:
                each.is_over = True
                each.may_send.set()
            await asyncio.gather(*senders)


@pytest.mark.long
@pytest.mark.timeout(1200)
async def test_increase_is_the_ledgers_count_over_twenty_kills_and_twenty_reloads(
    redis_url: str, room: str
) -> None:
    async with watched(redis_url, room) as site:
        offs = []
        for turn in range(TIMES):
            await site.talk()
            os.kill(site.gateway.worker_pids()[0], signal.SIGKILL)
            await site.scraped()
            await site.talk()
            old = set(site.gateway.worker_pids())
            os.kill(site.gateway.master_pid, signal.SIGHUP)
            await until(
                lambda old=old: not old & set(site.gateway.worker_pids()), 60, "the old workers are gone"
            )
            await site.scraped()
            offs.append(await site.off(f"after {turn + 1} kills and reloads"))
        numbers = await site.prometheus.query("count(max_over_time(gateway_worker_up[1h]))")
    print(f"{numbers[0]['value'][1]} numbers of workers over all that time")
    assert float(numbers[0]["value"][1]) <= 2 * 4
    assert max(map(abs, offs)) <= OFF_AT_MOST
