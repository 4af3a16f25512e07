"""The configuration file of a running gateway: what stops the start, what a reload takes, and what it refuses."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from aiohttp import web

from tests.support.gateways import Gateway
from tests.support.opener import Opener
from tests.support.topologies import cluster
from tests.support.waiting import until

pytestmark = pytest.mark.system

OPEN = '[[room]]\nmatch = "**"\njoin = "anyone"\n'
CLOSED = '[[room]]\nmatch = "**"\njoin = "nobody"\n'
BROKEN = '# rules\n[[rooms]]\nmatch = "**"\n'


async def reloaded(gateway: Gateway) -> None:
    """HUP, and the end of all workers of before."""
    before = set(gateway.worker_pids())
    os.kill(gateway.master_pid, signal.SIGHUP)
    await until(lambda: not before & set(gateway.worker_pids()), 60, "the old workers are gone")
    await until(gateway.is_ready, 60, "the new ones are ready")


async def answer_of(gateway: Gateway, room: str, connect: Opener) -> str:
    member = await connect(gateway.url)
    return str((await member.join("ann", room)).get("code", "ok"))


async def test_a_typing_error_stops_the_start_and_names_the_line(redis_url: str, tmp_path: Path) -> None:
    file = tmp_path / "gw.toml"
    file.write_text(BROKEN)
    async with Gateway(redis_url, workers=2, wait=False, GATEWAY_CONFIG=str(file)) as gateway:
        await until(lambda: not gateway.is_running(), 60, "it ends by itself")
        assert f"Error: {file}, line 2: [[rooms]] is not known; did you mean [[room]]?" in gateway.log()
        assert "Traceback" not in gateway.log()


@pytest.mark.long
async def test_hup_takes_new_rules_and_refuses_what_cannot_be_meant(
    redis_url: str, tmp_path: Path, room: str, connect: Opener
) -> None:
    file = tmp_path / "gw.toml"
    file.write_text(OPEN)
    async with Gateway(
        redis_url, workers=1, GATEWAY_CONFIG=str(file), GATEWAY_DRAIN_S="0", GATEWAY_LOG_FORMAT="json"
    ) as gateway:
        assert await answer_of(gateway, room, connect) == "ok"

        file.write_text(CLOSED)
        os.kill(gateway.worker_pids()[0], signal.SIGKILL)
        await until(gateway.is_ready, 60, "another worker")
        assert await answer_of(gateway, room, connect) == "ok", "nobody has asked for the new rules yet"
        await reloaded(gateway)
        assert await answer_of(gateway, room, connect) == "forbidden"

        file.write_text(BROKEN)
        await reloaded(gateway)
        assert "config_refused" in gateway.log()
        assert f"{file}, line 2: [[rooms]] is not known" in gateway.log()
        assert await answer_of(gateway, room, connect) == "forbidden", "the old rules go on"

        file.unlink()
        await reloaded(gateway)
        assert await answer_of(gateway, room, connect) == "forbidden"

        file.write_text(OPEN)
        await reloaded(gateway)
        assert await answer_of(gateway, room, connect) == "ok"


@pytest.mark.long
async def test_the_application_decides_where_the_rule_says_hook(
    redis_url: str, tmp_path: Path, room: str, connect: Opener
) -> None:
    answer = {"allow": ["join"]}

    async def serve(request: web.Request) -> web.Response:
        asked = await request.json()
        return web.json_response(answer if asked["room"] == room else {"allow": []})

    app = web.Application()
    app.router.add_post("/may-join", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    file, url = tmp_path / "gw.toml", f"http://127.0.0.1:{runner.addresses[0][1]}/may-join"
    file.write_text('[[room]]\nmatch = "**"\njoin = "hook"\n')
    options = {"GATEWAY_CONFIG": str(file), "GATEWAY_JOIN_HOOK": url}
    async with Gateway(redis_url, workers=1, environment=options) as gateway:
        assert await answer_of(gateway, room, connect) == "ok"
        assert await answer_of(gateway, f"{room}-other", connect) == "forbidden"
        await runner.cleanup()
        assert await answer_of(gateway, room, connect) == "unavailable"


@pytest.mark.long
async def test_on_a_cluster_rules_slow_people_and_keep_nothing(
    tmp_path: Path, room: str, connect: Opener
) -> None:
    file = tmp_path / "gw.toml"
    file.write_text('[[room]]\nmatch = "**"\njoin = "anyone"\nslow_s = 60\nhistory = 0\nmembers_max = 2\n')
    async with cluster(persistence="none") as found:
        async with Gateway(found.url, workers=2, GATEWAY_CONFIG=str(file)) as gateway:
            ann, ben, cleo = [await connect(gateway.url) for _ in range(3)]
            for name in (f"{room}-{number}" for number in range(6)):  # on all primaries
                await ann.join("ann", name)
                await ben.join("ben", name)
                assert (await cleo.join("cleo", name))["code"] == "room_full"
                first = await ann.send(name, "one", idempotency_key="k")
                assert await ann.send(name, "one", idempotency_key="k") == first
                assert (await ann.send(name, "two"))["code"] == "rate_limited"
                assert (await ben.send(name, "three"))["ok"]
                assert (await ben.call("history", {"room": name}))["messages"] == []
