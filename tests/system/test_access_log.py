"""The access log has fields and a duration, and never a session's id or a token; a stop logs no fault."""

from __future__ import annotations

import asyncio
import json
import os
import signal

import aiohttp
import pytest

from tests.support.clients import Member
from tests.support.gateways import Gateway
from tests.support.opener import Opener
from tests.support.waiting import until

SECRET = "secret-word"


async def test_a_line_has_fields_and_no_session_id_and_no_token(
    redis_url: str, connect: Opener, room: str
) -> None:
    async with Gateway(redis_url, workers=1, arguments=["--access-logfile", "-"]) as gateway:
        member = await connect(gateway.url, "polling", auth={"token": SECRET})
        await member.join("ann", room)
        async with aiohttp.ClientSession() as session:
            headers = {"Referer": f"http://x/?token={SECRET}", "User-Agent": "a/1"}
            url = f"{gateway.url}/healthz?token={SECRET}&transport={SECRET}"
            async with session.get(url, headers=headers) as answer:
                assert answer.status == 200

        def lines() -> list[dict[str, object]]:
            whole = gateway.log().rpartition("\n")[0].splitlines()
            found = [json.loads(line) for line in whole if '"http_request"' in line]
            return [line for line in found if line["agent"] == "a/1" or line["method"] == "POST"]

        await until(
            lambda: {line["path"] for line in lines()} >= {"/healthz", "/socket.io/"}, what="both kinds"
        )
        (asked,) = [line for line in lines() if line["path"] == "/healthz"]
        assert (asked["method"], asked["status"], asked["remote"]) == ("GET", 200, "127.0.0.1")
        assert (asked["transport"], asked["logger"]) == (None, "gunicorn.access")
        assert isinstance(asked["duration_ms"], float)
        assert 0 <= asked["duration_ms"] < 10_000
        posted = [line for line in lines() if line["method"] == "POST"]
        assert {line["transport"] for line in posted} == {"polling"}
        log = gateway.log()
        assert SECRET not in log
        assert not any(member.socket_id in line for line in log.splitlines() if "http_request" in line)
        assert f"sid={member.sid}" not in log


@pytest.mark.long
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
async def test_a_stop_logs_no_fault(redis_url: str, loop: str) -> None:
    async with Gateway(redis_url, workers=2, GATEWAY_LOOP=loop, GATEWAY_DRAIN_S="0.2") as gateway:
        members = [await Member.connect(gateway.url, "polling"), await Member.connect(gateway.url)]
        os.kill(gateway.master_pid, signal.SIGTERM)
        await until(lambda: not gateway.is_running(), 20, "it ends")
        log = gateway.log()
        await asyncio.gather(*(member.close() for member in members))
    assert [line for line in log.splitlines() if "Errno" in line or "Traceback" in line] == []


@pytest.mark.long
async def test_a_worker_without_sessions_goes_on_listening_for_the_time_that_was_set(redis_url: str) -> None:
    async with Gateway(redis_url, workers=1, GATEWAY_DRAIN_S="0", GATEWAY_DRAIN_MIN_S="1.5") as gateway:
        begun = asyncio.get_running_loop().time()
        os.kill(gateway.master_pid, signal.SIGTERM)
        seen: list[int] = []
        while gateway.is_running() and len(seen) < 1000:
            seen.append((await gateway.readiness())[0])
            await asyncio.sleep(0.02)
        lasted_s = asyncio.get_running_loop().time() - begun
    assert lasted_s >= 1.4
    refused = [status for status in seen if status == 503]
    assert len(refused) >= 10, "it says that it is not ready"
    assert seen.index(503) <= 25
    after = seen[seen.index(503) :]
    assert set(after[: after.index(0)] if 0 in after else after) == {503}, (
        "and it does so until the port closes"
    )
