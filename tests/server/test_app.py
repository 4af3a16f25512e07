"""The application as `adev runserver` has it: the factory, run by aiohttp's own runner, with a Valkey of its own."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from gateway.server.app import build_app, create_app
from gateway.server.health import Health
from tests.support.chat_worker import chat_worker
from tests.support.clients import HandshakeRefused, Member
from tests.support.gateways import fetch_json
from tests.support.servers import Valkey
from tests.support.serving import serving, settings
from tests.support.topologies import standalone
from tests.support.waiting import until

POLL_S = 25.0
"""How long a poll stays open that nothing comes to: until the next ping."""


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="app-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
async def server() -> AsyncIterator[Valkey]:
    async with standalone("none") as server:
        yield server


async def chats(url: str, room: str) -> None:
    async with await Member.connect(url) as ann, await Member.connect(url, "polling") as ben:
        assert (await ann.join("ann", room))["ok"]
        assert (await ben.join("ben", room))["count"] == 2
        sent = await ann.send(room, "hello")
        await until(lambda: ben.ids(room) == [sent["id"]], what="the message")


async def test_without_a_redis_it_starts_its_own_and_keeps_what_was_said(
    folder: Path, room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("REDIS_URL", ""), ("GATEWAY_STATE_DIR", str(folder)), ("GATEWAY_DRAIN_S", "0")):
        monkeypatch.setenv(name, value)
    async with serving(await create_app()) as url:
        await chats(url, room)
    async with serving(await create_app()) as url, await Member.connect(url) as cy:
        await cy.join("cy", room)
        assert cy.messages(room) == ["hello"]


async def test_health_readiness_and_counters_are_answered(redis_url: str, room: str) -> None:
    async with serving(build_app(settings(redis_url))) as url:
        await chats(url, room)
        status, alive = await fetch_json(f"{url}/healthz")
        assert (status, alive["status"]) == (200, "ok")
        status, ready = await fetch_json(f"{url}/readyz")
        assert (status, ready) == (200, {"ready": True, "worker": alive["worker"], "reasons": []})
        async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as response:
            text = await response.text()
        assert 'gateway_published_total{worker="0"}' in text
        assert "# TYPE gateway_delivered_total counter" in text


@pytest.mark.system
async def test_a_worker_without_its_store_starts_and_says_why_it_is_not_ready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.server.app.START_S", 0.2)
    async with serving(build_app(settings("redis://127.0.0.1:1/0"))) as url:
        status, told = await fetch_json(f"{url}/readyz")
        assert (status, told["ready"]) == (503, False)
        refused = "no connection to the store: 127.0.0.1:1 cannot be reached: Connection refused"
        assert told["reasons"] == [refused, "not subscribed to the store"]
        assert (await fetch_json(f"{url}/healthz"))[0] == 200
        async with await Member.connect(url) as ann:
            assert (await ann.join("ann", "r"))["code"] == "unavailable"


async def test_more_handshakes_than_allowed_are_told_when_to_come_back(redis_url: str) -> None:
    async with serving(build_app(settings(redis_url, GATEWAY_HANDSHAKES_PER_S="1"))) as url:
        many = (Member.connect(url, ("websocket", "polling")[number % 2]) for number in range(20))
        came = await asyncio.gather(*many, return_exceptions=True)
        refused = [each for each in came if isinstance(each, HandshakeRefused)]
        members = [each for each in came if isinstance(each, Member)]
        assert len(refused) + len(members) == len(came)
        assert members
        assert refused
        assert {each.status for each in refused} == {503}
        assert all(int(each.headers["Retry-After"]) >= 1 for each in refused)
        for member in members:
            await member.close()


async def test_stopping_does_not_wait_for_a_poll_that_is_open(redis_url: str) -> None:
    async with serving(build_app(settings(redis_url))) as url:
        ann = await Member.connect(url, "polling")
        began_s = time.monotonic()
    assert time.monotonic() - began_s < POLL_S / 2
    await until(ann.closed.is_set, what="the session is closed")
    await ann.close()


async def test_stopping_closes_the_sessions_and_leaves_nothing_behind(server: Valkey, room: str) -> None:
    async with serving(build_app(settings(server.url, GATEWAY_DRAIN_S="0.2"))) as url:
        ann = await Member.connect(url)
        await ann.join("ann", room)
    await until(ann.closed.is_set, what="the session is closed")
    assert [error["code"] for error in ann.errors] == ["shutting_down"]
    assert not ann.was_disconnected, "it may come back by itself"
    await ann.close()

    async def is_alone() -> bool:
        clients = await server.ask("CLIENT", "LIST")
        return "gateway-" not in str(clients)

    await until(is_alone, what="its connections to the store are closed")


async def test_every_reason_for_not_being_ready_is_named(server: Valkey) -> None:
    async with chat_worker(server.url) as worker:
        health = Health(uuid.uuid4().hex)
        assert health.reasons() == ["starting"]
        health.watch(worker.store, worker.pubsub)
        assert health.reasons() == ["no write has passed yet"]
        health.writes = None
        assert health.reasons() == []
        health.is_draining = True
        assert health.reasons() == ["draining"]
        server.kill()
        await until(lambda: "cannot be reached" in str(health.reasons()), what="the store is missed")
        _, lost, deaf = health.reasons()
        assert (
            lost
            == f"no connection to the store: 127.0.0.1:{server.port} cannot be reached: Connection refused"
        )
        assert deaf == "not subscribed to the store"
