"""`gateway room`, `tail` and `top` as they are typed, beside a gateway of several workers."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.server.cli import main
from tests.support.clients import Member
from tests.support.gateways import Gateway
from tests.support.opener import Opener
from tests.support.operators import LIMIT_S, running, typed
from tests.support.pages import blocks
from tests.support.servers import Valkey
from tests.support.topologies import cluster
from tests.support.waiting import until

pytestmark = pytest.mark.system


async def members(gateway: Gateway, room: str, connect: Opener, number: int) -> list[Member]:
    """So many members of a room."""
    made = []
    for at in range(number):
        member = await connect(gateway.url)
        await member.join(f"member{at}", room)
        made.append(member)
    return made


async def test_commands_tell_what_the_workers_do(server: Valkey, room: str, connect: Opener) -> None:
    async with Gateway(server.url, workers=2) as gateway:
        ann, *_ = await members(gateway, room, connect, 6)
        looked, told, busy, tailed, followed, nowhere = await asyncio.gather(
            typed(server.url, "room", room),
            typed(server.url, "room", room, "--json"),
            typed(server.url, "top", "--once", "--json"),
            tail(server.url, ann, room, room),
            tail(server.url, ann, room, "--user", "member0"),
            typed(server.url, "room", "nowhere"),
        )
    assert looked.status == 0, looked
    assert "All that answered agree with the store." in looked.output
    found = json.loads(told.output)
    assert sum(each["members"] for each in found["workers"]) == 6
    assert (found["divergences"], found["no_answer"], found["store"]["users"]) == ([], [], 6)
    seen = json.loads(busy.output)
    assert sum(each["connections"] for each in seen["workers"]) == 6
    assert [(each["room"], each["members"]) for each in seen["busiest"]] == [(room, 6)]
    assert {each["message"] for each in tailed} == {"hello"}
    assert {"connected", "joined", "message"} <= {each["event"] for each in followed}
    assert (nowhere.status, "none: no such room" in nowhere.output) == (0, True)


def shapes(text: str) -> list[str]:
    """The lines that a command prints, without what is another site's: ids, numbers, names, widths of columns."""
    text = re.sub(r"[0-9a-f]{8,}(\.[\w-]+)?", "ID", text)
    text = re.sub(r"\d[\d,.]*", "0", re.sub(r"@ \S+", "@ HOST", text))
    text = re.sub(r"\b(ada|member0|support|lobby|[a-z]+:0(?= +0))", "NAME", text)
    return [re.sub(" +", " ", line.strip()) for line in text.splitlines() if line.strip()]


async def test_the_page_shows_what_its_commands_show(server: Valkey, connect: Opener) -> None:
    """Every line of `docs/watching.md` that a command is said to print is one of those that it prints. No member is
    slow here: that table is the one exception."""
    (top, looked, tailed) = (shapes(block.text) for block in blocks("docs/watching.md"))
    async with Gateway(server.url, workers=2) as gateway:
        ann, *_ = await members(gateway, "lobby", connect, 6)
        speaking = asyncio.create_task(keep_saying(ann, "lobby", "Is the kettle on?"))
        shown = await asyncio.gather(
            typed(server.url, "top", "--once"),
            typed(server.url, "room", "lobby"),
            typed(server.url, "tail", "lobby", "-n", "1"),
            typed(server.url, "tail", "--user", "member0", "-n", "2"),
        )
        speaking.cancel()
    busy, found, said, came = (shapes(each.output) for each in shown)
    assert set(top[1 : top.index("SLOWEST MEMBER WORKER UNSENT BEHIND BY")]) <= set(busy), busy
    assert set(looked[1:]) <= set(found), found
    assert set(tailed[2:]) <= {*said, *came}, (said, came)


async def keep_saying(member: Member, room: str, message: str) -> None:
    """Says it five times a second, until it is cancelled."""
    while True:
        await member.send(room, message)
        await asyncio.sleep(0.2)


async def tail(redis_url: str, member: Member, room: str, *words: str) -> list[dict[str, Any]]:
    """What `gateway tail` shows of what a member says, until it has shown one message."""
    found: list[dict[str, Any]] = []

    async with running(redis_url, "tail", *words, "--json") as process:
        assert process.stdout is not None
        saying = asyncio.create_task(keep_saying(member, room, "hello"))
        async with asyncio.timeout(LIMIT_S):
            while not any(each["event"] == "message" for each in found):
                found.append(json.loads(await process.stdout.readline()))
        process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.communicate(), LIMIT_S)
        saying.cancel()
        assert process.returncode == -signal.SIGINT
    return found


@pytest.mark.long
async def test_a_worker_that_stands_still_shows_as_one_that_does_not_answer(
    server: Valkey, room: str, connect: Opener
) -> None:
    async with Gateway(server.url, workers=2) as gateway:
        (ann,) = await members(gateway, room, connect, 1)
        stopped = gateway.worker_pids()[0]
        os.kill(stopped, signal.SIGSTOP)
        try:
            told = json.loads((await typed(server.url, "room", room, "--json")).output)
        finally:
            os.kill(stopped, signal.SIGCONT)
        assert len(told["no_answer"]) == 1
        assert ann.sid is not None

        async def has_come_back() -> bool:
            answered = json.loads((await typed(server.url, "room", room, "--json")).output)
            return not answered["no_answer"]

        await until(has_come_back, LIMIT_S, "it answers again")


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (("roomm", "tea"), 2, "Usage: "),
        (("tail",), 2, "Error: Give a room, or a user by --user"),
        (("tail", "tea", "--user", "ada"), 2, "Error: Give a room, or a user by --user"),
        (("top", "--redis", "nonsense"), 2, "Error: --redis"),
        (("room", "tea", "--redis", "redis://127.0.0.1:1/0"), 1, "Error: No connection to the store"),
    ],
)
async def test_what_cannot_be_done_ends_in_a_sentence(
    words: tuple[str, ...], status: int, sentence: str
) -> None:
    done = await asyncio.to_thread(CliRunner().invoke, main, list(words))
    assert (done.exit_code, done.output[: len(sentence)]) == (status, sentence)


@pytest.mark.long
async def test_a_cluster_is_looked_at_by_sharded_channels(room: str, connect: Opener) -> None:
    async with cluster() as topology, Gateway(topology.url, workers=2) as gateway:
        ann, *_ = await members(gateway, room, connect, 4)
        await ann.send(room, "hello")
        told = json.loads((await typed(topology.url, "room", room, "--json")).output)
        tailed = await tail(topology.url, ann, room, room)
    assert (told["divergences"], told["no_answer"], told["store"]["messages"]) == ([], [], 1)
    assert sum(each["members"] for each in told["workers"]) == 4
    assert told["store"]["subscribers"] == len(told["workers"])
    assert {each["message"] for each in tailed} == {"hello"}
