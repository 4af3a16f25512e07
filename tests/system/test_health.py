"""What an operator sees: /healthz, /readyz, and logs without anybody's words in them."""

from __future__ import annotations

import json
from typing import Any

from tests.support.clients import Member
from tests.support.gateways import Gateway, fetch_json
from tests.support.waiting import until

SECRET = "nobody but the room may read this"


async def test_healthz_says_that_it_lives(gateway: Gateway) -> None:
    status, told = await fetch_json(f"{gateway.url}/healthz")
    assert status == 200
    assert told


async def test_readyz_names_the_worker_and_no_reason_against_it(gateway: Gateway) -> None:
    status, told = await gateway.readiness()
    assert (status, told["ready"], told["reasons"]) == (200, True, [])
    assert told["worker"]


async def test_every_worker_is_ready_under_a_name_of_its_own(gateway: Gateway) -> None:
    assert len(await gateway.worker_names()) == 4


async def test_logs_are_json_and_tell_who_came_and_went(gateway: Gateway, room: str) -> None:
    async with await Member.connect(gateway.url, auth={"token": SECRET}) as member:
        await member.join("ada", room)
        await member.send(room, SECRET)
        await member.call("leave", {"username": "ada", "room": room})
    await until(
        lambda: _lines(gateway, member.socket_id, "session_disconnected"), what="the disconnect is logged"
    )
    joined, left = (
        _lines(gateway, member.socket_id, "member_joined"),
        _lines(gateway, member.socket_id, "member_left"),
    )
    assert [(line["user"], line["room"]) for line in (*joined, *left)] == [("ada", room)] * 2
    assert len(_lines(gateway, member.socket_id, "session_connected")) == 1
    assert _lines(gateway, member.socket_id, "session_disconnected")[0]["reason"]
    assert SECRET not in gateway.log()


def _lines(gateway: Gateway, session: str, event: str) -> list[dict[str, Any]]:
    whole = gateway.log().rpartition("\n")[0]  # the last line may be half written
    lines = [json.loads(line) for line in whole.splitlines() if session in line]
    return [line for line in lines if line["event"] == event]
