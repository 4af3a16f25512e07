"""What the log says of readiness: once when it changes, and at growing intervals while a worker is not ready."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from gateway.server import greeting
from gateway.server.health import Health
from gateway.server.readiness import REMIND_FIRST_S, Readiness
from gateway.settings import Settings
from gateway.state.write_check import WriteCheck, history_key, room
from tests.support.chat_worker import ChatWorker, chat_worker
from tests.support.ports import Port
from tests.support.servers import Valkey
from tests.support.waiting import until

pytestmark = pytest.mark.system


@pytest.fixture(autouse=True)
def fresh_logger(monkeypatch: pytest.MonkeyPatch) -> None:
    """A logger that has not logged yet can be listened to, whatever has run before in this process."""
    monkeypatch.setattr("gateway.server.readiness.log", structlog.get_logger("gateway.server"))


@pytest.fixture
async def worker(server: Valkey) -> AsyncIterator[ChatWorker]:
    async with chat_worker(server.url) as found:
        yield found


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def readiness(worker: ChatWorker, clock: Clock, said: list[str]) -> tuple[Health, Readiness]:
    health = Health("w")
    health.watch(worker.store, worker.pubsub)
    writes = WriteCheck(worker.store, "w", b"PUBLISH")
    return health, Readiness(health, writes, 3.0, lambda: said.append("ready"), clock)


async def test_why_a_worker_is_not_ready_is_said_once_and_then_at_growing_intervals(
    server: Valkey, worker: ChatWorker
) -> None:
    clock, said = Clock(), list[str]()
    health, looks = readiness(worker, clock, said)
    await server.ask("CONFIG", "SET", "maxmemory", "1")
    with capture_logs() as logged:
        for _ in range(160):
            await looks.look()
            clock.now_s += 1
    lines = [line for line in logged if line["event"] == "worker_not_ready"]
    assert [line["for_s"] for line in lines] == [0, REMIND_FIRST_S, 2 * REMIND_FIRST_S, 40, 80]
    assert {line["log_level"] for line in lines} == {"warning"}
    assert all(line["why"].startswith("Redis is full: ") for line in lines)
    assert all("raise maxmemory" in line["what_helps"] for line in lines)
    assert said == []
    await server.ask("CONFIG", "SET", "maxmemory", "0")
    with capture_logs() as logged:
        for _ in range(3):
            await looks.look()
    assert [line["event"] for line in logged] == ["worker_ready"]
    assert (said, health.reasons()) == (["ready"], [])


async def test_a_second_reason_is_said_when_it_comes_and_the_greeting_only_once(
    server: Valkey, worker: ChatWorker
) -> None:
    clock, said = Clock(), list[str]()
    _, looks = readiness(worker, clock, said)
    with capture_logs() as logged:
        await looks.look()
        await server.ask("CONFIG", "SET", "min-replicas-to-write", "1")
        await looks.look()
        await server.ask("CONFIG", "SET", "min-replicas-to-write", "0", "maxmemory", "1")
        await looks.look()
        await looks.look()
        await server.ask("CONFIG", "SET", "maxmemory", "0")
        await looks.look()
    events = [line["event"] for line in logged if line["event"].startswith("worker_")]
    assert events == ["worker_ready", "worker_not_ready", "worker_not_ready", "worker_ready"]
    assert said == ["ready"]


async def test_a_draining_worker_says_nothing_more(server: Valkey, worker: ChatWorker) -> None:
    health, looks = readiness(worker, Clock(), [])
    health.is_draining = True
    with capture_logs() as logged:
        await looks.look()
    assert logged == []


async def test_asking_for_writes_leaves_nothing_and_nobody_can_be_in_that_room(
    server: Valkey, worker: ChatWorker
) -> None:
    before = await server.ask("KEYS", "*")
    assert await WriteCheck(worker.store, "w", b"PUBLISH").failure() is None
    assert await server.ask("KEYS", "*") == before
    assert "{" in room(0)
    assert history_key(0).startswith(b"chat_history_")


async def test_what_a_server_refused_is_forgotten_when_it_is_gone(server: Valkey, worker: ChatWorker) -> None:
    health, looks = readiness(worker, Clock(), [])
    await server.ask("CONFIG", "SET", "maxmemory", "1")
    await looks.look()
    assert any("is full" in reason for reason in health.reasons())
    server.kill()
    await until(lambda: "cannot be reached" in str(health.reasons()), what="the server is missed")
    await looks.look()
    assert not any("is full" in reason for reason in health.reasons())


def test_the_greeting_says_which_store_is_used_without_a_password() -> None:
    given = Settings.from_environment({"REDIS_URL": "rediss://ann:s3cret@h.example:7000/2"})
    told = greeting.listening(["http://localhost:8006"], 2, given)
    assert "listens at http://localhost:8006 (2 workers)" in told
    assert "Rooms are kept in Redis: h.example:7000." in told
    assert "s3cret" not in told
    assert "Try it" not in told


def test_a_redis_of_this_machine_that_is_not_used_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = Settings.from_environment({"GATEWAY_STATE_DIR": str(tmp_path)})
    kept = Port()
    monkeypatch.setattr("gateway.server.greeting.PORT", kept.number)
    try:
        told = greeting.listening(["http://localhost:8006"], 1, given)
        assert f"embedded Valkey, with its data in {tmp_path}" in told
        assert f"gateway --redis redis://HOST:{kept.number}/0" in told
    finally:
        kept.release()


async def test_an_unused_redis_on_the_usual_port_is_named(
    server: Valkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = Settings.from_environment({"GATEWAY_STATE_DIR": str(tmp_path)})
    monkeypatch.setattr("gateway.server.greeting.PORT", server.port)
    told = greeting.listening(["http://localhost:8006"], 1, given)
    assert f"The Redis at 127.0.0.1:{server.port} is NOT used" in told
    assert f"gateway --redis redis://127.0.0.1:{server.port}/0" in told


def test_what_to_try_is_said_by_one_worker_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = Settings.from_environment({"GATEWAY_PATH_PREFIX": "/chat"}).server
    greeting.leave(str(tmp_path), ["http://localhost:8006"], paths)
    assert capsys.readouterr().out == ""
    for _ in range(3):
        greeting.say(str(tmp_path))
    greeting.say(None)
    said = capsys.readouterr().out
    assert said.count("Ready. Try it: open http://localhost:8006/chat/healthz") == 1
    assert "io({ path: '/chat/socket.io' })" in said
    assert not list(tmp_path.iterdir())
