"""Moderation seen from outside: real workers, real tokens, each topology and route; and what old readers see of it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis

from tests.support.backends import key_for
from tests.support.clients import Member
from tests.support.gateways import REPOSITORY, Gateway
from tests.support.servers import Valkey
from tests.support.tokens import secrets_file, signed
from tests.support.topologies import cluster, sentinels, standalone
from tests.support.waiting import until

ROOM = "tea"
PAGE = (REPOSITORY / "docs/moderation.md").read_text()


def tokens(folder: Path, **more: str) -> dict[str, str]:
    return {"GATEWAY_AUTH": "optional", "GATEWAY_TOKEN_SECRETS_FILE": str(secrets_file(folder)), **more}


def moderator() -> dict[str, str]:
    return {"token": signed(sub="mod", name="Mod", rooms={"**": ["moderate"]})}


def user(name: str) -> dict[str, str]:
    return {"token": signed(sub=name, name=name.title())}


def told(member: Member, name: str) -> list[Any]:
    return [one.data for one in member.arrivals if one.name == name]


@asynccontextmanager
async def topology(name: str) -> AsyncIterator[str]:
    """The URL of a Redis of that kind."""
    if name == "cluster":
        async with cluster() as found:
            yield found.url
    elif name == "sentinels":
        async with sentinels() as watched:
            yield watched.url
    else:
        async with standalone("none") as server:
            yield server.url


@pytest.mark.parametrize(
    ("where", "route"),
    [
        ("standalone", "auto"),
        pytest.param("standalone", "shared", marks=pytest.mark.long),
        pytest.param("cluster", "auto", marks=pytest.mark.long),
        pytest.param("sentinels", "auto", marks=pytest.mark.long),
    ],
)
async def test_all_of_it_works_on_each_topology_and_route(where: str, route: str, tmp_path: Path) -> None:
    async with (
        topology(where) as url,
        Gateway(url, workers=2, environment=tokens(tmp_path, GATEWAY_ROUTE=route)) as gateway,
    ):
        mod = await Member.connect(gateway.url, auth=moderator())
        await mod.call("join", {"room": ROOM})
        people = [await Member.connect(gateway.url, auth=user(f"u{at}")) for at in range(4)]
        for one in people:
            await one.call("join", {"room": ROOM})
        first = (await people[0].send(ROOM, "first"))["id"]
        assert (await mod.call("redact", {"room": ROOM, "id": first}))["ok"]
        await until(lambda: all(len(told(one, "changed")) == 1 for one in people), 5, "all hear of it")
        assert (await mod.call("mute", {"room": ROOM, "user": "u1"}))["sessions"] == 1
        refused = await people[1].call("send", {"room": ROOM, "message": "x"})
        assert (refused["code"], refused["reason"]) == ("forbidden", "muted")
        assert (await mod.call("slow", {"room": ROOM, "seconds": 60}))["ok"]
        await people[2].send(ROOM, "x")
        assert (await people[2].call("send", {"room": ROOM, "message": "y"}))["code"] == "rate_limited"
        assert (await mod.call("kick", {"room": ROOM, "user": "u3", "for_s": 60}))["ok"]
        await until(lambda: told(people[3], "removed"), 5, "who was kicked is told")
        assert (await people[3].call("join", {"room": ROOM}))["reason"] == "kicked"
        assert (await mod.call("close", {"room": ROOM, "for_s": 60}))["ok"]
        await until(lambda: all(told(one, "removed") for one in [mod, *people]), 5, "everybody is out")
        assert (await people[0].call("join", {"room": ROOM}))["reason"] == "closed"
        assert (await mod.call("reopen", {"room": ROOM}))["ok"]
        await people[0].call("join", {"room": ROOM})
        for one in [mod, *people]:
            assert [error["code"] for error in one.errors if error["code"] == "gap"] == []
            await one.close()


@pytest.mark.long
async def test_what_was_decided_outlives_all_workers(server: Valkey, tmp_path: Path) -> None:
    for times in range(2):
        async with Gateway(server.url, workers=1, environment=tokens(tmp_path)) as gateway:
            mod = await Member.connect(gateway.url, auth=moderator())
            ada = await Member.connect(gateway.url, auth=user("ada"))
            if not times:
                await ada.call("join", {"room": ROOM})
                await mod.call("mute", {"room": ROOM, "user": "ada"})
                await mod.call("close", {"room": "other", "for_s": 600})
            else:
                await ada.call("join", {"room": ROOM})
            assert (await ada.call("send", {"room": ROOM, "message": "x"}))["reason"] == "muted"
            assert (await ada.call("join", {"room": "other"}))["reason"] == "closed"
            await ada.close()
            await mod.close()


@pytest.mark.long
async def test_what_was_decided_outlives_a_failover_and_nobody_is_told_of_a_gap(tmp_path: Path) -> None:
    """The primary is killed once its replica has what was decided."""
    async with (
        sentinels() as found,
        Gateway(found.url, workers=2, environment=tokens(tmp_path)) as gateway,
    ):
        mod = await Member.connect(gateway.url, auth=moderator())
        ada = await Member.connect(gateway.url, auth=user("ada"))
        for one in (mod, ada):
            await one.call("join", {"room": ROOM})
        first = (await ada.send(ROOM, "first"))["id"]
        await mod.call("redact", {"room": ROOM, "id": first})
        await mod.call("mute", {"room": ROOM, "user": "ada"})
        await mod.call("close", {"room": "other"})
        old = await found.primary()

        async def is_in_step() -> bool:
            replica = next(server for server in found.servers if server is not old)
            return bool(
                await replica.ask(
                    "EXISTS", f"{{chat_history_{ROOM}}}:mutes", "{chat_history_other}:moderated"
                )
                == 2
            )

        await until(is_in_step, 5, "the replica has it")
        old.kill()
        await found.until_switched(old)

        async def is_refused() -> bool:
            answer = await ada.call("send", {"room": ROOM, "message": "x"})
            assert not answer["ok"]
            return bool(answer.get("reason") == "muted")

        await until(is_refused, 20, "the new primary knows it, and nothing is let through before")
        assert (await ada.call("join", {"room": "other"}))["reason"] == "closed"
        assert (await mod.send(ROOM, "after"))["ok"]
        await until(lambda: "after" in [one["message"] for one in ada.received], 5, "the room goes on")
        assert [one for member in (mod, ada) for one in member.errors if one["code"] == "gap"] == []
        late = await Member.connect(gateway.url, auth=user("ben"))
        await late.call("join", {"room": ROOM})
        assert [one["message"] for one in late.received if "id" in one] == ["", "after"]
        for one in (mod, ada, late):
            await one.close()


@pytest.mark.long
async def test_the_old_services_reader_sees_three_fields_and_an_empty_text(
    server: Valkey, tmp_path: Path
) -> None:
    """LRANGE and JSON, as the seed read its history."""
    async with (
        Gateway(server.url, workers=1, environment=tokens(tmp_path, GATEWAY_USER_SENDS_PER_S="0")) as gateway,
        redis.Redis.from_url(server.url) as reader,
    ):
        mod = await Member.connect(gateway.url, auth=moderator())
        await mod.call("join", {"room": ROOM})
        ids = [(await mod.send(ROOM, f"m{number}"))["id"] for number in range(100)]
        before: list[Any] = await reader.lrange(f"chat_history_{ROOM}", 0, -1)
        for position in ids[::2]:
            assert (await mod.call("redact", {"room": ROOM, "id": position}))["ok"]
        after = await reader.lrange(f"chat_history_{ROOM}", 0, -1)
        assert after[1::2] == before[1::2]
        for was, now in zip(before[::2], after[::2], strict=True):
            assert now == re.sub(rb'"m[0-9]+"', b'""', was, count=1)
            assert list(json.loads(now)) == ["message", "username", "__createdtime__"]
        await mod.close()


async def test_the_example_of_the_page_does_what_it_says(server: Valkey, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    (example,) = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    key, line = key_for("backend")
    async with Gateway(server.url, workers=2, GATEWAY_API_KEYS=line) as gateway:
        members = {name: await Member.connect(gateway.url) for name in ("ann", "spammer")}
        for name, member in members.items():
            await member.join(name, "lobby")
        done = await asyncio.to_thread(
            subprocess.run, ["sh", "-eu", "-c", example], env={**os.environ, "URL": gateway.url, "KEY": key},
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        answers = [json.loads(each) for each in re.findall(r"{[^{}]*}", done.stdout)]
        assert [sorted(each) for each in answers] == [
            ["at"], ["sessions", "until"], ["sessions", "until"], ["sessions", "until"], ["sessions", "until"],
            ["sessions"],
        ]  # fmt: skip
        await until(lambda: len(told(members["ann"], "removed")) == 1, 5, "ann is told")
        assert told(members["ann"], "removed") == [{"room": "lobby", "code": "closed"}]
        (changed,) = told(members["ann"], "changed")
        assert (changed["by"], changed["kind"]) == ("backend", "redacted")
        kicked = {"room": "lobby", "code": "kicked", "reason": "Read the rules."}
        await until(lambda: told(members["spammer"], "removed") == [kicked], 5, "the spammer is told")
        assert (await members["ann"].join("ann", "lobby"))["ok"]
        refused = await members["spammer"].join("spammer", "lobby")
        assert (refused["reason"], "until" in refused) == ("kicked", True)
        for member in members.values():
            await member.close()
