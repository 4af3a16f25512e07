"""The server API at an address of its own, seen from outside: several workers, reloads, drains, refused options."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.support.backends import Backend, backend, key_for
from tests.support.clients import Member
from tests.support.gateways import COMMAND, REPOSITORY, Gateway
from tests.support.ports import Port
from tests.support.waiting import until

pytestmark = pytest.mark.system

KEY, KEYS = key_for()
Address = tuple[str, str]
"""What the option says, and what a client connects to: a URL, or the path of a socket."""


@pytest.fixture(params=["port", "unix"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Address]:
    if request.param == "unix":
        path = Path("/tmp") / f"gw-api-{os.getpid()}.sock"
        yield f"unix:{path}", str(path)
        path.unlink(missing_ok=True)
        return
    port = Port()
    yield f"127.0.0.1:{port.number}", f"http://127.0.0.1:{port.number}"
    port.release()


@asynccontextmanager
async def caller(at: str) -> AsyncIterator[Backend]:
    """A backend whose every request is a connection of its own, so that any worker answers."""
    if at.startswith("/"):
        connector: aiohttp.BaseConnector = aiohttp.UnixConnector(at, force_close=True)
    else:
        connector = aiohttp.TCPConnector(force_close=True)
    async with backend("http://gateway" if at.startswith("/") else at, KEY, connector) as made:
        yield made


async def get(url: str) -> int:
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        return response.status


async def test_it_is_there_and_nowhere_else_and_no_log_has_a_key(redis_url: str, room: str) -> None:
    port = Port()
    listen, at = f"127.0.0.1:{port.number}", f"http://127.0.0.1:{port.number}"
    environment = {"GATEWAY_API_KEYS": KEYS, "GATEWAY_API_LISTEN": listen}
    try:
        async with (
            Gateway(redis_url, 1, environment=environment, arguments=("--access-logfile", "-")) as gateway,
            caller(at) as api,
            backend(gateway.url, KEY) as outside,
            await Member.connect(gateway.url) as ada,
        ):
            await ada.join("ada", room)
            assert (await outside.call("publish", room=room, message="x")).status == 404
            assert (await outside.call("%73tats")).status == 404
            assert await get(f"{gateway.url}/healthz") == 200
            assert await get(f"{at}/readyz") == 200
            for path in ("/metrics", "/socket.io/?EIO=4&transport=polling", "/"):
                assert await get(f"{at}{path}") == 404
            says_where_it_is(gateway, listen)
            await api.ok("publish", room=room, message="hello")
            await until(lambda: ada.messages(room) == ["hello"], what="the message")

            assert (
                await api.post(f"stats?key={KEY}", b"", {"Authorization": "", "X-API-Key": f"{KEY}x"})
            ).status == 401
            await until(lambda: gateway.log().count("/api/v1/") >= 3, what="the lines of the access log")
            assert KEY not in gateway.log()
    finally:
        port.release()


@pytest.mark.long
async def test_it_stays_through_reloads_and_a_kill(redis_url: str, address: Address, room: str) -> None:
    listen, at = address
    environment = {"GATEWAY_API_KEYS": KEYS, "GATEWAY_API_LISTEN": listen}
    async with (
        Gateway(redis_url, workers=2, environment=environment, GATEWAY_DRAIN_S="0.2") as gateway,
        caller(at) as api,
        await Member.connect(gateway.url) as ada,
    ):
        await ada.join("ada", room)
        await api.ok("publish", room=room, message="hello")
        await until(lambda: ada.messages(room) == ["hello"], what="the message")
        answers = await publishing_through_a_reload(gateway, api, room)
        os.kill(gateway.worker_pids()[0], signal.SIGKILL)
        await gateway.until_ready()
        answers += [(await api.call("publish", room=room, message="after")).status for _ in range(4)]
        assert set(answers) == {200}
    if at.startswith("/"):
        assert not Path(at).exists()


def says_where_it_is(gateway: Gateway, listen: str) -> None:
    """At its start; and no client is sent there."""
    lines = [line for line in gateway.log().splitlines() if not line.startswith("{")]
    (clients,) = [line for line in lines if "The chat gateway listens" in line]
    assert listen not in clients
    assert f"The server API listens at {listen}." in lines


async def publishing_through_a_reload(gateway: Gateway, api: Backend, room: str) -> list[int]:
    """Statuses of what is published from before a HUP until all workers are new ones. A connection that an old worker
    took and cannot answer any more is tried again, as a backend does."""
    old, statuses = set(gateway.worker_pids()), []
    os.kill(gateway.master_pid, signal.SIGHUP)

    async def has_changed() -> bool:
        for tries in range(5):
            try:
                statuses.append((await api.call("publish", room=room, message="x")).status)
                break
            except aiohttp.ClientConnectionError:
                assert tries < 4
        return not old & set(gateway.worker_pids())

    await until(has_changed, 30, "the workers are new ones")
    await gateway.until_ready()
    return statuses


@pytest.mark.parametrize(
    ("variables", "arguments", "sentence"),
    [
        ({"GATEWAY_API_LISTEN": "127.0.0.1:1"}, ("--reuse-port",), "--reuse-port"),
        pytest.param(
            {"GATEWAY_API_LISTEN": "127.0.0.1:1"},
            ("--bind", "127.0.0.1:1"),
            "an address of the clients",
            marks=pytest.mark.long,
        ),
    ],
)
def test_what_cannot_work_is_refused_with_a_sentence(
    variables: dict[str, str], arguments: tuple[str, ...], sentence: str
) -> None:
    environment = {**os.environ, "REDIS_URL": "redis://127.0.0.1:1/0", **variables}
    command = (sys.executable, *COMMAND, *arguments)
    ran = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=30)
    assert ran.returncode != 0
    assert sentence in ran.stderr + ran.stdout


@pytest.mark.long
async def test_bind_on_the_command_line_keeps_it_through_a_reload(redis_url: str) -> None:
    port, own = Port(), Port()
    environment = {
        "GATEWAY_API_KEYS": KEYS, "GATEWAY_API_LISTEN": f"127.0.0.1:{own.number}", "PORT": f"{port.number}",
    }  # fmt: skip
    try:
        gateway = Gateway(
            redis_url, workers=1, environment=environment, arguments=("--bind", f"127.0.0.1:{port.number}")
        )
        gateway._port.release()
        gateway._port = port
        async with gateway, caller(f"http://127.0.0.1:{own.number}") as api:
            old = set(gateway.worker_pids())
            os.kill(gateway.master_pid, signal.SIGHUP)
            await until(lambda: not old & set(gateway.worker_pids()), 30, "the worker is a new one")
            await gateway.until_ready()
            assert (await api.call("stats")).status == 200
    finally:
        own.release()


@pytest.mark.long
async def test_a_draining_worker_answers_and_lets_its_connection_go(redis_url: str, room: str) -> None:
    drain = {"GATEWAY_API_KEYS": KEYS, "GATEWAY_DRAIN_S": "3", "GATEWAY_DRAIN_MIN_S": "1.5"}
    async with Gateway(redis_url, workers=1, environment=drain) as gateway, backend(gateway.url, KEY) as api:
        assert "Connection" not in (await api.call("publish", room=room, message="x")).headers
        os.kill(gateway.master_pid, signal.SIGTERM)

        async def is_draining() -> bool:
            return (await gateway.readiness())[0] == 503

        await until(is_draining, what="the worker drains")
        answer = await api.call("publish", room=room, message="y")
        assert (answer.status, answer.headers["Connection"]) == (200, "close")
