"""A gateway told to stop: members are sent away in a way that brings stock clients back, and new ones elsewhere."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

from tests.support.clients import HandshakeRefused, Member
from tests.support.gateways import Gateway
from tests.support.opener import Opener
from tests.support.waiting import until

LIMITS = {"GATEWAY_DRAIN_S": "1.5"}


async def test_members_are_told_and_their_transport_is_closed(
    redis_url: str, room: str, connect: Opener
) -> None:
    async with Gateway(redis_url, workers=2, environment=LIMITS) as gateway:
        members = [
            await connect(gateway.url, way) for way in ("websocket", "polling", "upgrade") for _ in range(3)
        ]
        for number, member in enumerate(members):
            await member.join(f"user-{number}", room)
        os.kill(gateway.master_pid, signal.SIGTERM)
        await until(lambda: all(member.closed.is_set() for member in members), what="all are closed")
        await until(lambda: not gateway.is_running(), what="gunicorn ends by itself")
    for member in members:
        assert [(error["code"], error["retryable"]) for error in member.errors] == [("shutting_down", True)]
        assert not member.was_disconnected, "stock clients do not come back after a DISCONNECT packet"
        assert not any("has left" in notice for notice in member.notices(room))


async def test_what_is_sent_while_it_stops_is_stored_or_refused(
    redis_url: str, room: str, connect: Opener, store: Any
) -> None:
    async with Gateway(redis_url, workers=2, environment=LIMITS) as gateway:
        members = [await connect(gateway.url) for _ in range(4)]
        for number, member in enumerate(members):
            await member.join(f"user-{number}", room)
        sending = [asyncio.create_task(_send_until_closed(member, room)) for member in members]
        os.kill(gateway.master_pid, signal.SIGTERM)
        acknowledged = [position for ids in await asyncio.gather(*sending) for position in ids]
    stored = int(await store.hget(f"{{chat_history_{room}}}:meta", "seq"))
    seqs = [int(position.split(":")[1]) for position in acknowledged]
    assert len(set(seqs)) == len(seqs), "no position twice"
    assert set(seqs) <= set(range(1, stored + 1)), "acknowledged, and not stored"


async def test_new_handshakes_are_refused_with_a_time_to_come_back(redis_url: str, connect: Opener) -> None:
    async with Gateway(redis_url, workers=1, GATEWAY_DRAIN_S="20") as gateway:
        held = [await connect(gateway.url) for _ in range(10)]
        os.kill(gateway.master_pid, signal.SIGTERM)
        await until(lambda: any(member.closed.is_set() for member in held), what="the drain has begun")
        status, told = await gateway.readiness()
        refusals = [await _refusal(gateway.url, way) for way in ("websocket", "polling")]
        gateway.kill()  # nobody waits for the rest of the drain
    assert (status, told["reasons"]) == (503, ["draining"])
    for refusal in refusals:
        assert refusal.status == 503
        assert int(refusal.headers["Retry-After"]) >= 1


async def _refusal(url: str, way: Any) -> HandshakeRefused:
    try:
        await (await Member.connect(url, way)).close()
    except HandshakeRefused as refused:
        return refused
    raise AssertionError(f"a draining gateway opened a session by {way}")


async def _send_until_closed(member: Member, room: str) -> list[str]:
    acknowledged: list[str] = []
    while not member.closed.is_set():
        try:
            answer = await member.send(room, f"{len(acknowledged)}")
        except ConnectionError:
            break
        if answer["ok"]:
            acknowledged.append(answer["id"])
    return acknowledged
