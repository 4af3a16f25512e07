"""A backend publishes by the server API into rooms in which people talk, while workers die."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time

import aiohttp
import pytest

from tests.support.backends import Backend, backend, key_for
from tests.support.gateways import Gateway
from tests.support.topologies import standalone
from tests.support.waiting import until
from tests.system.faults.traffic import Shape, Traffic

pytestmark = [pytest.mark.faults, pytest.mark.system]

MESSAGES = int(os.environ.get("API_MESSAGES", "20000"))
"""Of both together; the acceptance run has 100,000."""
KILL_EVERY_S = 5.0
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


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_publishes_by_api_and_by_socket_under_kills_are_one_order_without_loss_or_double() -> None:
    key, keys = key_for()
    async with (
        standalone() as store,
        Gateway(store.url, workers=4, environment={"GATEWAY_API_KEYS": keys}) as gateway,
        backend(gateway.url, key, aiohttp.TCPConnector(limit=100)) as api,
        Traffic([gateway.url], 7, SHAPE) as traffic,
    ):
        backends = [Publishing(api, traffic, room, n) for n, room in enumerate(traffic.rooms)]
        publishing = [asyncio.create_task(each.run()) for each in backends]
        kills, begun_s = 0, time.monotonic()

        def said() -> int:
            return sum(each.said for each in backends) + sum(person._number for person in traffic.people)

        while said() < MESSAGES:
            await asyncio.sleep(KILL_EVERY_S)
            os.kill(traffic.random.choice(gateway.worker_pids()), signal.SIGKILL)
            kills += 1
            assert all(not task.done() or task.result() is None for task in publishing)
        for each in backends:
            each.is_stopping = True
        await asyncio.wait_for(asyncio.gather(*publishing), SETTLE_LIMIT_S)
        await until(lambda: len(gateway.worker_pids()) == 4, 20, "the last worker is replaced")
        report = await traffic.verdict(SETTLE_LIMIT_S)
        again = sum(each.again for each in backends)
        print(
            f"\n{said()} messages, {sum(each.said for each in backends)} by API ({again} said again), {kills} workers "
            f"killed in {time.monotonic() - begun_s:.0f} s: {report}"
        )
        traffic.assert_clean(report)
        assert report.gaps == 0
