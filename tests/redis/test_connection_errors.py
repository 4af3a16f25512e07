"""Error replies of a real server sorted by what helps, and links that listen."""

from __future__ import annotations

import pytest

from gateway.errors import StoreDenied, StoreError, StoreMoved, StoreRefused, StoreUnavailable
from gateway.redis.address import endpoint_of, open_connection
from gateway.redis.connection import as_store_error
from gateway.redis.subscriber_connection import SubscriberConnection
from tests.support.command_connections import Life, opened
from tests.support.servers import Valkey
from tests.support.waiting import until

# -- errors


async def test_an_error_reply_is_raised_and_the_connection_goes_on(redis_url: str, room: str) -> None:
    async with opened(redis_url) as connection:
        await connection.call("SET", room, "text")
        with pytest.raises(StoreRefused, match="WRONGTYPE"):
            await connection.call("LPUSH", room, "x")
        assert await connection.call("GET", room) == b"text"


async def test_a_server_that_is_no_primary_any_more_is_given_up(server: Valkey) -> None:
    life = Life()
    async with opened(server.url, life) as connection:
        await server.ask("REPLICAOF", "127.0.0.1", 1)
        with pytest.raises(StoreUnavailable, match="READONLY"):
            await connection.call("SET", "a", "b")
        await until(lambda: life.lost == 1, 2, "the connection is dropped")
        assert connection.ended_by.startswith("READONLY"), "for the log"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("WRONGTYPE Operation against a key", StoreRefused),
        ("ERR unknown command", StoreRefused),
        ("NOPERM this user", StoreDenied),
        ("NOAUTH Authentication required.", StoreDenied),
        ("WRONGPASS invalid username-password pair", StoreDenied),
        ("ERR ACL failure in script: User tenant has no permissions to access the 'x' key", StoreDenied),
        ("READONLY You can't write against a read only replica.", StoreUnavailable),
        ("LOADING Redis is loading the dataset in memory", StoreUnavailable),
        ("MASTERDOWN Link with MASTER is down", StoreUnavailable),
        ("NOREPLICAS Not enough good replicas to write.", StoreUnavailable),
        ("OOM command not allowed when used memory > 'maxmemory'.", StoreUnavailable),
        ("CLUSTERDOWN The cluster is down", StoreUnavailable),
        ("TRYAGAIN Multiple keys request during rehashing of slot", StoreUnavailable),
        ("MISCONF Redis is configured to save RDB snapshots", StoreUnavailable),
        ("MOVED 3999 127.0.0.1:6381", StoreMoved),
        ("ASK 3999 127.0.0.1:6381", StoreMoved),
    ],
)
def test_errors_are_sorted_by_whether_trying_again_helps(text: str, kind: type[StoreError]) -> None:
    assert type(as_store_error(text)) is kind


# -- listening


async def test_a_listening_connection_hands_on_messages_and_confirmations(redis_url: str, room: str) -> None:
    heard: list[tuple[bytes, bytes]] = []
    confirmed: list[tuple[bytes, bytes]] = []
    connection = await open_connection(
        endpoint_of(redis_url),
        lambda: SubscriberConnection(
            Life().on_lost, heard.extend, lambda kind, name: confirmed.append((kind, name))
        ),
        "test",
    )
    name = room.encode()
    connection.subscribe(b"SUBSCRIBE", [name])
    await until(lambda: confirmed == [(b"subscribe", name)], 2, "the confirmation")
    async with opened(redis_url) as other:
        await other.call("PUBLISH", room, "hello")
    await until(lambda: heard == [(name, b"hello")], 2, "the message")
    connection.subscribe(b"UNSUBSCRIBE", [name])
    await until(lambda: confirmed[1:] == [(b"unsubscribe", name)], 2, "the end")
    connection.abort()
    await until(lambda: not connection.is_open, 2, "the connection is closed")


async def test_a_subscription_that_is_refused_ends_the_connection(server: Valkey) -> None:
    await server.ask("ACL", "SETUSER", "default", "resetchannels")
    life = Life()
    connection = await open_connection(
        endpoint_of(server.url),
        lambda: SubscriberConnection(life.on_lost, lambda messages: None, lambda kind, name: None),
        "test",
    )
    connection.subscribe(b"SUBSCRIBE", [b"forbidden"])
    await until(lambda: life.lost == 1, 2, "the connection ends")
