"""The load of one very large room, on a small one: it finds what is missing, and nothing where nothing is."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from loadtest.stadium.event import Plan, held
from loadtest.stadium.stand import Share, Stand
from tests.support.gateways import Gateway

pytestmark = pytest.mark.system

MEMBERS = 60


@pytest.fixture
async def gateway(redis_url: str, tmp_path: Path) -> AsyncIterator[Gateway]:
    file = tmp_path / "gateway.toml"
    file.write_text('[[room]]\nmatch = "**"\njoin = "anyone"\nnotices = false\ngather_ms = 50\n')
    async with Gateway(redis_url, workers=2, GATEWAY_CONFIG=str(file)) as gateway:
        yield gateway


def plan(gateway: Gateway) -> Plan:
    return Plan(("127.0.0.1", gateway.port), uuid.uuid4().hex, MEMBERS, processes=2, rate=50, seconds=1)


async def test_it_sees_that_everybody_gets_everything_and_that_somebody_does_not(gateway: Gateway) -> None:
    async with held(plan(gateway)) as event:
        await event.join()
        outcome = await event.talk()
        assert (outcome.faults, outcome.whole, outcome.messages) == ((), MEMBERS, 50)
        assert 0 < outcome.latency_ms(0.5) <= outcome.latency_ms(1)
    async with held(plan(gateway)) as event:
        await event.join()
        talking = asyncio.create_task(event.talk())
        await asyncio.sleep(1.5)  # it waits a second, and talks for another
        for pid in gateway.worker_pids():  # one of them may have no member
            os.kill(pid, signal.SIGKILL)
        cut = await talking
        assert cut.faults
        assert cut.whole < MEMBERS


def test_members_who_got_the_same_otherwise_are_told_apart() -> None:
    stand = Stand(Share(("", 0), "", 0, 3))
    pairs = [socket.socketpair() for _ in range(3)]
    for ours, _ in pairs:
        stand._take(ours)
    stand.begin()
    ping, one, two = b"\x81\x012", b"\x81\x05hello", b"\x81\x05world"
    for (_, theirs), frames in zip(pairs, ([one, ping, two], [one, two], [two, one]), strict=True):
        for frame in frames:
            theirs.sendall(frame)
    heard = stand.end(wanted_bytes=len(one + two))
    assert sorted(heard.streams.values()) == [1, 2]
    assert pairs[0][1].recv(100) == b"\x81\x81\0\0\0\x003", "the ping is answered"
    for ours, theirs in pairs:
        ours.close()
        theirs.close()
