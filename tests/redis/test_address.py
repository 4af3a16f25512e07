"""Finding and opening servers: passwords, databases, Unix sockets, TLS, and what is no server."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator

import pytest

from gateway.errors import StoreUnavailable
from gateway.redis.address import FixedFinder, endpoint_of, is_cluster, open_connection, with_address
from gateway.redis.commands import PrimaryCommands
from gateway.redis.connection import CommandConnection
from gateway.redis.server_watch import ServerWatch
from tests.support.redis_limits import LIMITS, SHORT_LIMITS
from tests.support.servers import Valkey
from tests.support.tls import certificate, tls_server
from tests.support.waiting import Stopwatch, until


async def ask(url: str, *command: str) -> object:
    """One command on a connection of its own. Raises StoreUnavailable."""
    connection = await open_connection(
        endpoint_of(url), lambda: CommandConnection(lambda: None, SHORT_LIMITS), "test"
    )
    try:
        return await connection.call(*command)
    finally:
        connection.abort()


# -- URLs


def test_a_url_is_read_as_redis_py_reads_it() -> None:
    found = endpoint_of("redis://ann:p%40ss@host.example:7000/3")
    assert (found.host, found.port, found.database) == ("host.example", 7000, 3)
    assert (found.username, found.password, found.tls) == ("ann", "p@ss", None)


@pytest.mark.parametrize("url", ["redis://", "valkey://127.0.0.1", "redis://127.0.0.1:6379"])
def test_what_is_left_out_is_the_usual(url: str) -> None:
    found = endpoint_of(url)
    assert (found.port, found.database, found.username, found.password) == (6379, 0, None, None)


def test_a_password_without_a_user_and_a_database_by_query() -> None:
    found = endpoint_of("redis://:secret@h/?db=5")
    assert (found.username, found.password, found.database) == (None, "secret", 5)


def test_a_unix_url_has_a_path() -> None:
    found = endpoint_of("unix://:secret@/run/valkey.sock?db=2")
    assert (found.path, found.password, found.database, str(found)) == (
        "/run/valkey.sock",
        "secret",
        2,
        "/run/valkey.sock",
    )


@pytest.mark.parametrize("scheme", ["rediss", "valkeys"])
def test_tls_checks_certificates_unless_told_not_to(scheme: str) -> None:
    strict = endpoint_of(f"{scheme}://h:1/0").tls
    loose = endpoint_of(f"{scheme}://h:1/0?ssl_cert_reqs=none").tls
    nameless = endpoint_of(f"{scheme}://h:1/0?ssl_check_hostname=false").tls
    assert strict is not None
    assert loose is not None
    assert nameless is not None
    assert (strict.verify_mode, strict.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert (loose.verify_mode, loose.check_hostname) == (ssl.CERT_NONE, False)
    assert (nameless.verify_mode, nameless.check_hostname) == (ssl.CERT_REQUIRED, False)


def test_passwords_are_not_in_an_endpoints_name() -> None:
    assert str(endpoint_of("redis://ann:secret@h:1/0")) == "h:1"


def test_another_node_has_the_same_way_in() -> None:
    found = with_address(endpoint_of("redis://ann:secret@h:1/0"), "other", 2)
    assert (str(found), found.username, found.password) == ("other:2", "ann", "secret")


def test_only_cluster_urls_name_a_cluster() -> None:
    assert is_cluster("redis+cluster://h:1")
    assert not is_cluster("redis://h:1")
    assert not is_cluster("redis+sentinel://h:1/0/mymaster")


async def test_one_server_stays_where_it_is() -> None:
    finder = FixedFinder(endpoint_of("redis://h:1"))
    assert (await finder.find()).port == 1
    told: list[str] = []
    watching = asyncio.create_task(finder.watch(told.append))
    await asyncio.wait([watching], timeout=0.1)
    assert (told, watching.done()) == ([], False), "there is nothing to tell, ever"
    watching.cancel()


# -- real servers


@pytest.fixture
async def guarded() -> AsyncIterator[Valkey]:
    """A server with a password, a user and a Unix socket."""
    server = Valkey("--requirepass", "secret", "--unixsocket", "socket", "--save", "", "--appendonly", "no")
    await server.start(wait=False)
    url = f"redis://:secret@127.0.0.1:{server.port}/0"
    try:
        await until(lambda: _answers(url), 5, "the server answers")
        await ask(url, "ACL", "SETUSER", "ann", "on", ">word", "~*", "&*", "+@all")
        yield server
    finally:
        server.close()


async def _answers(url: str) -> bool:
    try:
        return await ask(url, "PING") == b"PONG"
    except StoreUnavailable:
        return False


async def test_passwords_and_users_are_let_in(guarded: Valkey) -> None:
    where = f"127.0.0.1:{guarded.port}"
    assert await ask(f"redis://:secret@{where}/0", "ACL", "WHOAMI") == b"default"
    assert await ask(f"redis://ann:word@{where}/0", "ACL", "WHOAMI") == b"ann"
    for wrong in (f"redis://{where}/0", f"redis://:nonsense@{where}/0", f"redis://ann:nonsense@{where}/0"):
        with pytest.raises(StoreUnavailable) as refused:
            await ask(wrong, "PING")
        assert "nonsense" not in str(refused.value)


async def test_a_database_is_selected(guarded: Valkey) -> None:
    where = f":secret@127.0.0.1:{guarded.port}"
    await ask(f"redis://{where}/3", "SET", "k", "three")
    assert await ask(f"redis://{where}/3", "GET", "k") == b"three"
    assert await ask(f"redis://{where}/0", "GET", "k") is None
    with pytest.raises(StoreUnavailable, match="DB index"):
        await ask(f"redis://{where}/99", "PING")


async def test_a_unix_socket_works(guarded: Valkey) -> None:
    path = guarded.folder / "socket"
    await ask(f"unix://:secret@{path}?db=2", "SET", "k", "two")
    assert await ask(f"redis://:secret@127.0.0.1:{guarded.port}/2", "GET", "k") == b"two"
    with pytest.raises(StoreUnavailable):
        await ask(f"unix://{path}.nowhere", "PING")


async def test_nobody_listening_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1"):
        await ask("redis://127.0.0.1:1/0", "PING")


@pytest.mark.system
async def test_a_server_that_accepts_and_never_answers_is_unavailable_after_a_second(server: Valkey) -> None:
    endpoint = endpoint_of(server.url)
    server.freeze()
    try:
        async with Stopwatch() as watch:
            with pytest.raises(StoreUnavailable, match="does not answer in time"):
                await open_connection(endpoint, lambda: CommandConnection(lambda: None, LIMITS), "test")
    finally:
        server.thaw()
    assert watch.calm_seconds < 1.5


async def test_one_that_must_be_primary_is_not_taken_while_it_is_a_replica(server: Valkey) -> None:
    async def open_primary() -> CommandConnection:
        endpoint = endpoint_of(server.url)
        return await open_connection(
            endpoint, lambda: CommandConnection(lambda: None, SHORT_LIMITS), "test", True
        )

    (await open_primary()).abort()
    await server.ask("REPLICAOF", "127.0.0.1", 1)
    with pytest.raises(StoreUnavailable, match="not the primary"):
        await open_primary()


# -- TLS


async def test_tls_works_and_strangers_are_not_believed() -> None:
    with certificate("DNS:localhost") as folder, tls_server(folder) as port:
        certificate_file = folder / "certificate"
        trusted = f"rediss://:secret@localhost:{port}/1?ssl_ca_certs={certificate_file}"
        await until(lambda: _answers(trusted), 5, "the server answers over TLS")
        for url in (f"rediss://:secret@localhost:{port}/0", trusted.replace("localhost", "127.0.0.1")):
            with pytest.raises(StoreUnavailable, match="certificate verify failed"):
                await ask(url, "PING")
        assert await ask(f"rediss://:secret@127.0.0.1:{port}/0?ssl_cert_reqs=none", "PING") == b"PONG"
        store = PrimaryCommands(FixedFinder(endpoint_of(trusted)), ServerWatch(), "test-tls", SHORT_LIMITS)
        await store.start(10)
        answers = await asyncio.gather(*(store.call(b"k", "ECHO", str(number)) for number in range(200)))
        assert answers == [b"%d" % number for number in range(200)]
        await store.close()
