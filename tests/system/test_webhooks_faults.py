"""Webhooks while workers die, Redis fails over and the receiver is away: a ledger compares what was acknowledged."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.support.clients import Member
from tests.support.gateways import Gateway
from tests.support.topologies import cluster, sentinels
from tests.support.waiting import until
from tests.support.webhook_receiver import Receiver, hooks_file, receiver

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(1200)]

AWAY_S = float(os.environ.get("WEBHOOK_AWAY_S", "20"))
"""How long the receiver is away. The long form, 300, takes seven minutes."""

ROOMS, PACE_S = 12, 4.0
"""In each room less is said, while the receiver is away for 5 minutes, than the history keeps: 75 messages of 100."""


class Talker:
    """Says numbered messages in a room, each until it is acknowledged, whatever happens to its connection."""

    def __init__(self, url: str, room: str, pace_s: float) -> None:
        self.room, self.acknowledged = room, []
        self._url, self._pace_s = url, pace_s
        self._member: Member | None = None
        self.is_stopping = False

    acknowledged: list[str]

    async def run(self) -> None:
        number = 0
        while not self.is_stopping:
            number += 1
            text = f"{self.room}-{number}"
            while not await self._said(text):
                await asyncio.sleep(0.2)
            self.acknowledged.append(text)
            await asyncio.sleep(self._pace_s * random.uniform(0.8, 1.2))
        if self._member is not None:
            await self._member.close()

    async def _said(self, text: str) -> bool:
        try:
            if self._member is None:
                self._member = await Member.connect(self._url)
                await self._member.join("talker", self.room)
            answer = await self._member.send(self.room, text, idempotency_key=text)
            if answer["ok"]:
                return True
            if answer["code"] == "not_joined":
                await self._member.join("talker", self.room)
        except Exception:  # the connection, the handshake, an answer: whatever it was is tried again
            if self._member is not None:
                self._member.abort()
            self._member = None
        return False


def judge(app: Receiver, talkers: list[Talker]) -> dict[str, int]:
    """Every acknowledged message was told, and those of a room for the first time in their order. Other texts may be in
    between: a message may be stored without its answer."""
    for talker in talkers:
        told = app.texts(talker.room)
        assert set(talker.acknowledged) <= set(told), (
            talker.room,
            sorted(set(talker.acknowledged) - set(told)),
            app.of(talker.room, "gap"),
        )
        ids = list(dict.fromkeys(event["id"] for event in app.of(talker.room)))
        by_epoch: dict[str, list[int]] = {}
        for position in ids:
            epoch, _, seq = position.partition(":")
            by_epoch.setdefault(epoch, []).append(int(seq))
        assert all(seqs == sorted(seqs) for seqs in by_epoch.values()), talker.room
    assert not app.forged
    return {
        "acknowledged": sum(len(talker.acknowledged) for talker in talkers),
        "told": sum(len(app.texts(talker.room)) for talker in talkers),
        "events": len(app.events),
        "requests failed": app.failed,
        "gaps": sum(event["type"] == "gap" for event in app.events),
    }


async def scene(
    app: Receiver, gateway: Gateway, talkers: list[Talker], failover: Callable[[], Awaitable[object]]
) -> dict[str, int]:
    """The receiver fails 30 % and is away for a while; meanwhile workers die, and Redis fails over."""
    tasks = [asyncio.create_task(talker.run()) for talker in talkers]
    app.fails_share = 0.3
    await until(lambda: len(app.events) > ROOMS, 30, "events come")
    app.is_away = True
    begun, has_failed_over = time.monotonic(), False
    while time.monotonic() - begun < AWAY_S:
        os.kill(random.choice(gateway.worker_pids()), signal.SIGKILL)
        await asyncio.sleep(5)
        if not has_failed_over and time.monotonic() - begun > AWAY_S / 2:
            has_failed_over = True
            await failover()
    app.is_away = False
    os.kill(random.choice(gateway.worker_pids()), signal.SIGKILL)
    for talker in talkers:
        talker.is_stopping = True
    await asyncio.wait_for(asyncio.gather(*tasks), 60)

    def is_told() -> bool:
        return all(set(talker.acknowledged) <= set(app.texts(talker.room)) for talker in talkers)

    try:
        await until(is_told, 150, "all is told")
    except AssertionError:
        print(gateway.log()[-6000:])
    return judge(app, talkers)


def rooms_of(room: str, count: int = ROOMS) -> list[str]:
    return [f"{room}-{number}" for number in range(count)]


async def test_a_receiver_that_fails_and_is_away_gets_everything_in_order(tmp_path: Path, room: str) -> None:
    async with receiver() as app, sentinels() as found:
        file = hooks_file(tmp_path, {"url": app.url, "events": ["message"]})
        async with Gateway(found.url, workers=4, GATEWAY_CONFIG=str(file)) as gateway:
            talkers = [
                Talker(gateway.url, name, PACE_S if AWAY_S > 60 else PACE_S / 8) for name in rooms_of(room)
            ]
            primary = await found.primary()

            async def failover() -> None:
                primary.kill()
                await found.until_switched(primary)

            figures = await scene(app, gateway, talkers, failover)
            print(figures)
            assert "Traceback" not in gateway.log()


async def test_the_same_on_a_cluster(tmp_path: Path, room: str) -> None:
    async with receiver() as app, cluster() as found:
        file = hooks_file(tmp_path, {"url": app.url, "events": ["message"]})
        async with Gateway(found.url, workers=3, GATEWAY_CONFIG=str(file)) as gateway:
            talkers = [
                Talker(gateway.url, name, PACE_S if AWAY_S > 60 else PACE_S / 8) for name in rooms_of(room)
            ]

            async def failover() -> None:
                found.nodes[0].kill()

            print(await scene(app, gateway, talkers, failover))
            assert "Traceback" not in gateway.log()
