"""A Redis that cannot be used: `gateway check` and `/readyz` say the same of it, and clients are told `unavailable`."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from redis.exceptions import BusyLoadingError, RedisError

from gateway.server.app import build_app
from gateway.server.check import judge
from gateway.server.findings import Wrong
from tests.support.clients import Member
from tests.support.gateways import fetch_json
from tests.support.ports import Port
from tests.support.servers import Valkey
from tests.support.serving import serving, settings
from tests.support.waiting import until

pytestmark = pytest.mark.system

EVERYTHING = ("on", ">w0rd", "~*", "&*", "+@all")
USERS: dict[str, tuple[tuple[str, ...], str]] = {
    "all rights": (EVERYTHING, ""),
    "without CLIENT": ((*EVERYTHING, "-client"), ""),
    "without INFO": ((*EVERYTHING, "-info"), ""),
    "without CONFIG": ((*EVERYTHING, "-config"), ""),
    "without anything dangerous or for administrators": ((*EVERYTHING, "-@dangerous", "-@admin"), ""),
    "the rights in docs/security.md": (
        ("on", ">w0rd", "~chat_history_*", "~{chat_history_*", "~gateway:*", "&*", "+@all", "-@admin"),
        "",
    ),
    "no keys at all": (("on", ">w0rd", "&*", "+@all"), "does not allow this user"),
    "no keys of rooms": (("on", ">w0rd", "~gateway:*", "&*", "+@all"), "does not allow this user"),
    "no keys beside the histories": (
        ("on", ">w0rd", "~gateway:*", "~chat_history_*", "&*", "+@all"),
        "does not allow this user",
    ),
    "no keys of workers": (
        ("on", ">w0rd", "~chat_history_*", "~{chat_history_*", "&*", "+@all"),
        "does not allow this user",
    ),
    "no channels": (("on", ">w0rd", "~*", "resetchannels", "+@all"), "does not allow this user"),
    "no channels of rooms": (
        ("on", ">w0rd", "~*", "resetchannels", "&socketio", "&gateway:*", "+@all"),
        "does not allow this user",
    ),
    "only reading": (("on", ">w0rd", "~*", "&*", "+@all", "-@write"), "does not allow this user"),
    "no EVALSHA": ((*EVERYTHING, "-evalsha"), "does not allow this user"),
    "no SCRIPT": ((*EVERYTHING, "-script"), "does not allow this user"),
    "no SUBSCRIBE": ((*EVERYTHING, "-subscribe"), "does not allow this user"),
    "no PUBLISH": ((*EVERYTHING, "-publish"), "does not allow this user"),
    "no RPUSH": ((*EVERYTHING, "-rpush"), "does not allow this user"),
    "no EXPIRE": ((*EVERYTHING, "-expire"), "does not allow this user"),
    "disabled": (("off", ">w0rd", "~*", "&*", "+@all"), "does not let this user in"),
    "another password": (("on", ">other", "~*", "&*", "+@all"), "does not let this user in"),
}


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What the two say of one Redis; empty when they have nothing against it."""

    check: str
    readyz: str
    code: str | None
    """What a client is told that joins and sends; None when it may."""


async def verdicts(url: str, **variables: str) -> Verdicts:
    """Both verdicts, each of them from nothing."""
    given = settings(url, GATEWAY_HEARTBEAT_S="0.2", GATEWAY_REDIS_TIMEOUT_S="0.3", **variables)
    try:
        await judge(url, given)
        check = ""
    except Wrong as wrong:
        check = str(wrong)
    async with serving(build_app(given)) as worker:
        status, told = await fetch_json(f"{worker}/readyz")
        assert (status == 200) == told["ready"] == (not told["reasons"])
        async with await Member.connect(worker) as ann:
            joined = await ann.join("ann", "verdict")
            sent = await ann.send("verdict", "hello") if joined["ok"] else joined
        return Verdicts(check, "; ".join(told["reasons"]), sent.get("code"))


def assert_agreed(found: Verdicts, words: str, code: str | None = "unavailable") -> None:
    if not words:
        assert found == Verdicts("", "", None)
        return
    assert words in found.check
    assert words in found.readyz
    assert "w0rd" not in found.check + found.readyz
    assert found.check.endswith(".")
    assert "\n" not in found.check
    assert found.code == code


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of these servers never become good, and each wait is spent in full."""
    wait_at_most(0.25, monkeypatch)


def wait_at_most(limit_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a worker and a check wait for a server until they judge."""
    monkeypatch.setattr("gateway.server.app.START_S", limit_s)
    monkeypatch.setattr("gateway.server.check.WAIT_S", limit_s)


@pytest.mark.parametrize("user", USERS)
async def test_check_and_readyz_agree_about_every_user(user: str) -> None:
    rights, words = USERS[user]
    async with changed() as server:
        await server.ask("ACL", "SETUSER", "tenant", *rights)
        found = await verdicts(f"redis://tenant:w0rd@127.0.0.1:{server.port}")
        # Who cannot clean up after dead workers can chat all the same, for a while.
        assert_agreed(found, words, None if user == "no keys of workers" else "unavailable")


@asynccontextmanager
async def changed(*options: str) -> AsyncIterator[Valkey]:
    """A server of the test's own."""
    server = Valkey("--appendonly", "no", *(options or ("--save", "")))
    try:
        await server.start()
        yield server
    finally:
        server.close()


SENTINEL_USERS: tuple[tuple[str, str, str], ...] = (
    ("", "s/w0rd", ""),
    ("ann", "w0rd:@", ""),
    ("", "", "Authentication required"),
    ("", "w0rd2", "invalid"),
    ("ann", "s/w0rd", "invalid"),
    ("ben", "w0rd", "no permissions"),
)
"""User and password that the gateway is given for the Sentinels, and what is said."""


async def test_they_agree_about_sentinels_with_a_password_of_their_own(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async with changed() as server:
        await server.ask("CONFIG", "SET", "requirepass", "servers-w0rd")
        watcher = Valkey(
            sentinel=f"sentinel monitor mine 127.0.0.1 {server.port} 1\nsentinel auth-pass mine servers-w0rd\n"
            "requirepass s/w0rd\nuser ann on >w0rd:@ +sentinel|master\nuser ben on >w0rd +ping\n"
        )
        try:
            await watcher.start(wait=False)
            url = f"redis+sentinel://:servers-w0rd@127.0.0.1:1,127.0.0.1:{watcher.port}/0/mine"
            await until(lambda: "+monitor" in watcher.log(), 10, "the Sentinel watches")
            for username, password, words in SENTINEL_USERS:
                given = {"GATEWAY_SENTINEL_USERNAME": username, "GATEWAY_SENTINEL_PASSWORD": password}
                found = await verdicts(url, **given)
                assert_agreed(found, words)
                assert not words or "correct GATEWAY_SENTINEL_PASSWORD" in found.check
        finally:
            watcher.close()
    assert "w0rd" not in "".join(capfd.readouterr())


async def test_they_agree_about_a_full_server() -> None:
    async with changed() as server:
        await server.ask("CONFIG", "SET", "maxmemory", "1")
        assert_agreed(await verdicts(server.url), "is full")


async def test_they_agree_about_a_server_without_its_replicas() -> None:
    async with changed() as server:
        await server.ask("CONFIG", "SET", "min-replicas-to-write", "1")
        assert_agreed(await verdicts(server.url), "takes no writes: Not enough good replicas")


async def test_they_agree_about_a_server_that_cannot_save() -> None:
    async with changed("--save", "3600 1") as server:
        shutil.rmtree(server.folder)
        await server.ask("SET", "k", "v")
        await server.ask("BGSAVE")

        async def has_failed() -> bool:
            return "rdb_last_bgsave_status:err" in str(await server.ask("INFO", "persistence")).replace(
                "'", ""
            ).replace(": ", ":")

        await until(has_failed, 10, "the snapshot fails")
        assert_agreed(await verdicts(server.url), "takes no writes: ")


async def test_they_agree_about_a_replica() -> None:
    async with changed() as server:
        await server.ask("REPLICAOF", "127.0.0.1", 1)
        assert_agreed(await verdicts(server.url), "is read-only")


async def test_they_agree_about_a_server_that_reads_its_data() -> None:
    async with changed("--save", "3600 1", "--rdbcompression", "no") as server:
        for number in range(150):
            await server.ask("SET", f"k{number}", "v" * 4096)
        await server.ask("SAVE")
        server.kill()
        slowly = ("--key-load-delay", "20000", "--loading-process-events-interval-bytes", "1024")
        slow = Valkey("--appendonly", "no", *slowly)
        try:
            shutil.copy(server.folder / "dump.rdb", slow.folder)
            await slow.start(wait=False)
            await until(lambda: _is_loading(slow), 10, "it is loading")
            assert_agreed(await verdicts(slow.url), "does not answer yet")
        finally:
            slow.close()


async def _is_loading(server: Valkey) -> bool:
    try:
        await server.ask("PING")
    except BusyLoadingError:
        return True
    except RedisError:
        pass  # it does not listen yet
    return False


async def test_they_agree_about_a_stopped_server() -> None:
    async with changed() as server:
        server.freeze()
        assert_agreed(await verdicts(server.url), "o connection to the store")


async def test_they_agree_about_a_closed_port() -> None:
    kept = Port()
    try:
        url = f"redis://127.0.0.1:{kept.number}"
        assert_agreed(await verdicts(url), f"127.0.0.1:{kept.number} cannot be reached: Connection refused")
    finally:
        kept.release()


async def test_they_agree_about_a_url_of_another_topology(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker asks a Cluster for its map, then connects. On a busy machine that takes longer than the short wait, and
    both would judge before they know."""
    wait_at_most(1.0, monkeypatch)
    bus = Port()
    try:
        async with changed("--cluster-enabled", "yes", "--cluster-port", str(bus.number)) as node:
            assert_agreed(await verdicts(node.url), "name it by redis+cluster://127.0.0.1:")
            url = f"redis+cluster://127.0.0.1:{node.port}"
            assert_agreed(await verdicts(url), "some slots have no primary")
            await node.ask("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            await until(lambda: _is_whole(node), 10, "all slots are served")
            wait_at_most(10.0, monkeypatch)  # no wait for a server that is good, or answers what is wrong
            assert_agreed(await verdicts(url), "")
            await node.ask("CONFIG", "SET", "maxmemory", "1")
            assert_agreed(await verdicts(url), "is full")
    finally:
        bus.release()


async def _is_whole(node: Valkey) -> bool:
    return "cluster_state:ok" in str(await node.ask("CLUSTER", "INFO"))


async def test_they_agree_about_a_server_that_is_no_cluster() -> None:
    async with changed() as server:
        url = f"redis+cluster://127.0.0.1:{server.port}"
        assert_agreed(await verdicts(url), "is not a node of a Redis Cluster")


async def test_they_agree_about_an_old_redis() -> None:
    async with changed() as server, older(server) as port:
        assert_agreed(await verdicts(f"redis://127.0.0.1:{port}"), f"127.0.0.1:{port} is Redis 6.")


@asynccontextmanager
async def older(server: Valkey) -> AsyncIterator[int]:
    """The port of a proxy that makes a server call itself a Redis 6, and is true otherwise."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", server.port)

        async def back() -> None:
            while data := await behind_reader.read(65_536):
                data = re.sub(rb"redis_version:\d", b"redis_version:6", data)
                writer.write(
                    data.replace(b"valkey_version", b"_alkey_version").replace(b"name:valkey", b"name:_alkey")
                )

        answering = asyncio.create_task(back())
        try:
            while data := await reader.read(65_536):
                behind_writer.write(data)
        except ConnectionError:
            pass
        finally:
            answering.cancel()
            behind_writer.close()
            writer.close()

    async with await asyncio.start_server(relay, "127.0.0.1", 0) as proxy:
        yield proxy.sockets[0].getsockname()[1]
        proxy.close()
