"""Rooms whose members are only counted, on every topology: the number, a worker that dies, what a webhook is told."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from tests.support.clients import Member
from tests.support.gateways import Gateway
from tests.support.topologies import cluster, sentinels, standalone
from tests.support.waiting import stays, until
from tests.support.webhook_receiver import Receiver, hooks_file, receiver

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(180)]

MEMBERS, ROOMS = 6, 4
COUNTED = 'join = "anyone"\nmembers = "count"\n'
TOPOLOGIES = ["standalone", "sentinels", "cluster"]
DEAD_S = {"GATEWAY_WORKER_DEAD_S": "3", "GATEWAY_HEARTBEAT_S": "0.5"}


@asynccontextmanager
async def store_url(topology: str) -> AsyncIterator[str]:
    kinds = {"standalone": standalone, "sentinels": sentinels, "cluster": cluster}
    async with kinds[topology]() as store:  # type: ignore[operator]
        yield store.url


@asynccontextmanager
async def counting(topology: str, folder: Path, app: Receiver) -> AsyncIterator[Gateway]:
    """Two workers whose rooms are counted, and whose webhook wants to be told of all."""
    file = hooks_file(folder, {"url": app.url, "events": ["room", "member"]})
    file.write_text(file.read_text().replace('join = "anyone"\n', COUNTED, 1))
    assert COUNTED in file.read_text()
    async with (
        store_url(topology) as url,
        Gateway(url, workers=2, environment=DEAD_S, GATEWAY_CONFIG=str(file)) as gateway,
    ):
        yield gateway


async def joined(gateway: Gateway, rooms: list[str]) -> list[Member]:
    """Members of all rooms, over both workers."""
    members: list[Member] = []
    while len(members) < MEMBERS or len({each.sid.partition(".")[0] for each in members}) < 2:
        members.append(await Member.connect(gateway.url))
        for room in rooms:
            assert (await members[-1].join(f"user-{len(members)}", room))["ok"]
    return members


async def is_counted(member: Member, rooms: list[str], number: int) -> bool:
    answers = [await member.call("members", {"room": room}) for room in rooms]
    return all((each["members"], each["count"]) == ([], number) for each in answers)


def states(app: Receiver, room: str) -> list[str]:
    """What was told of a room, each once."""
    return list(dict.fromkeys(event["type"] for event in app.events if event["room"] == room))


@pytest.mark.parametrize("topology", TOPOLOGIES)
async def test_members_are_counted_and_a_webhook_is_told_when_the_first_comes_and_the_last_goes(
    topology: str, tmp_path: Path, room: str
) -> None:
    rooms = [f"{room}-{number}" for number in range(ROOMS)]
    async with receiver() as app, counting(topology, tmp_path, app) as gateway:
        members = await joined(gateway, rooms)
        await until(lambda: is_counted(members[0], rooms, len(members)), what="all are counted")
        await until(lambda: all(states(app, each) == ["occupied"] for each in rooms), 20, "occupied")
        for each in members[1:]:
            await each.close()
        await until(lambda: is_counted(members[0], rooms, 1), what="one is left")
        await stays(lambda: all(states(app, each) == ["occupied"] for each in rooms), 0.5)
        await members[0].close()
        await until(
            lambda: all(states(app, each) == ["occupied", "vacated"] for each in rooms), 20, "vacated"
        )
        assert not [event for event in app.events if event["type"] in ("joined", "left")]
        assert "webhook_events_never_come" in gateway.log()


@pytest.mark.parametrize("topology", TOPOLOGIES)
async def test_who_died_with_a_worker_is_not_counted_and_its_rooms_are_vacated(
    topology: str, tmp_path: Path, room: str
) -> None:
    rooms = [f"{room}-{number}" for number in range(ROOMS)]
    async with receiver() as app, counting(topology, tmp_path, app) as gateway:
        members = await joined(gateway, [rooms[0]])
        there = {each.sid.partition(".")[0]: each for each in members}
        doomed = members[0].sid.partition(".")[0]
        alone = next(each for each in members if each.sid.partition(".")[0] == doomed)
        assert (await alone.join("alone", rooms[1]))["ok"]
        await until(lambda: states(app, rooms[1]) == ["occupied"], 20, "occupied")
        stayed = [each for each in members if each.sid.partition(".")[0] != doomed]
        os.kill(pid_of(gateway, doomed), signal.SIGKILL)
        await until(lambda: is_counted(stayed[0], [rooms[0]], len(stayed)), 30, "the dead are not counted")
        await until(lambda: states(app, rooms[1]) == ["occupied", "vacated"], 30, "vacated")
        assert states(app, rooms[0]) == ["occupied"]
        assert len(there) == 2
        for each in members:
            await each.close()


def pid_of(gateway: Gateway, worker: str) -> int:
    """The process of the worker with that id: it listens on a Unix socket of that name."""
    for pid in gateway.worker_pids():
        if any(worker in str(each.laddr) for each in psutil.Process(pid).net_connections("unix")):
            return pid
    raise AssertionError(f"no process belongs to worker {worker}")
