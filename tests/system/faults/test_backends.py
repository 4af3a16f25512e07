"""A backend publishes by the server API into rooms in which people talk, while workers die."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from typing import Self

import aiohttp
import pytest

from loadtest.ledger import Report
from tests.support.backends import Backend, backend, key_for
from tests.support.gateways import Gateway
from tests.support.topologies import sentinels, standalone
from tests.support.waiting import until
from tests.system.faults.traffic import Shape, Traffic

pytestmark = [pytest.mark.faults, pytest.mark.system]

MESSAGES = int(os.environ.get("API_MESSAGES", "20000"))
"""Of both together; the acceptance run has 100,000."""
KILL_EVERY_S = 5.0
FAILOVERS = 3
SHAPE = Shape(rooms=20, people=2, talkers=1, pace_s=0.06)
SETTLE_LIMIT_S = 60.0
NOT_YET = (429, 503)


class Publishing:
    """A careful backend in one room: one message after the other, each again under its key until it is answered."""

    def __init__(self, api: Backend, traffic: Traffic, room: str, seed: int) -> None:
        self._api, self._ledger, self._room = api, traffic.ledger, room
        self._random = random.Random(seed)
        self.is_stopping = False
        self.said = self.again = 0

    async def run(self) -> None:
        while not self.is_stopping:
            self.said += 1
            await self._say(f"backend in {self._room[-6:]} says {self.said}")
            await asyncio.sleep(SHAPE.pace_s * (0.5 + self._random.random()))  # the rhythm of the traffic

    async def _say(self, text: str) -> None:
        while True:
            self._ledger.sent("backend", self._room, text, time.monotonic())
            try:
                answer = await self._api.call(
                    "publish", room=self._room, message=text, username="backend", idempotency_key=text
                )
            except (aiohttp.ClientError, TimeoutError, OSError):
                answer = None
            if answer is not None and answer.status == 200:
                self._ledger.acknowledged("backend", self._room, text, answer.data["id"])
                return
            if answer is not None:
                assert answer.status in NOT_YET, answer
                self._ledger.refused("backend", self._room, text, answer.data["code"])
            self.again += 1
            await asyncio.sleep(0.05 + 0.1 * self._random.random())  # a backend's back-off


class Publishers:
    """One backend in each room: `async with Publishers(api, traffic) as publishers:`."""

    def __init__(self, api: Backend, traffic: Traffic) -> None:
        self._traffic = traffic
        self.each = [Publishing(api, traffic, room, n) for n, room in enumerate(traffic.rooms)]
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(each.run()) for each in self.each]
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def said(self) -> int:
        return sum(each.said for each in self.each)

    def said_by_all(self) -> int:
        """The people's messages, too."""
        return self.said + sum(person._number for person in self._traffic.people)

    def have_not_failed(self) -> bool:
        """Raises what ended one of them."""
        return all(not task.done() or task.result() is None for task in self._tasks)

    async def verdict(self) -> Report:
        """Stops, waits for all answers, and judges everything."""
        for each in self.each:
            each.is_stopping = True
        await asyncio.wait_for(asyncio.gather(*self._tasks), SETTLE_LIMIT_S)
        report = await self._traffic.verdict(SETTLE_LIMIT_S)
        again = sum(each.again for each in self.each)
        print(f"\n{self.said_by_all()} messages, {self.said} by API ({again} said again): {report}")
        self._traffic.assert_clean(report)
        return report


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_publishes_by_api_and_by_socket_under_kills_are_one_order_without_loss_or_double() -> None:
    key, keys = key_for()
    async with (
        standalone() as store,
        Gateway(store.url, workers=4, environment={"GATEWAY_API_KEYS": keys}) as gateway,
        backend(gateway.url, key, aiohttp.TCPConnector(limit=100)) as api,
        Traffic([gateway.url], 7, SHAPE) as traffic,
        Publishers(api, traffic) as publishers,
    ):
        kills, begun_s = 0, time.monotonic()
        while publishers.said_by_all() < MESSAGES:
            await asyncio.sleep(KILL_EVERY_S)
            os.kill(traffic.random.choice(gateway.worker_pids()), signal.SIGKILL)
            kills += 1
            assert publishers.have_not_failed()
        took_s = time.monotonic() - begun_s
        await until(lambda: len(gateway.worker_pids()) == 4, 20, "the last worker is replaced")
        report = await publishers.verdict()
        print(f"{kills} workers killed in {took_s:.0f} s")
        assert report.gaps == 0


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_a_primary_that_stands_still_while_backends_publish_loses_nothing_in_silence() -> None:
    """What a backend was answered 200 for, and the new primary does not have, is told to the room as a gap."""
    key, keys = key_for()
    async with (
        sentinels() as store,
        Gateway(store.url, workers=4, environment={"GATEWAY_API_KEYS": keys}) as gateway,
        backend(gateway.url, key, aiohttp.TCPConnector(limit=100)) as api,
        Traffic([gateway.url], 8, SHAPE) as traffic,
        Publishers(api, traffic) as publishers,
    ):
        for _ in range(FAILOVERS):
            await traffic.flow()
            old = await store.primary()
            old.freeze()
            try:
                await store.until_switched(old)
            finally:
                old.thaw()
            await traffic.flow(rounds=1, limit_s=30)
            await until(old.follows, 40, "the old primary follows the new one")
            assert publishers.have_not_failed()
        await publishers.verdict()
