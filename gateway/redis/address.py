"""Where Redis is: URLs read, primaries found, connections opened.

Owns what differs between a plain server, a TLS one and a Unix socket. URLs are read in `redis_url.py`, Sentinels are
asked in `sentinel.py`, a Cluster's nodes are in `cluster/`. Raises `StoreUnavailable` when nothing answers.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from gateway.errors import StoreDenied, StoreError, StoreRefused, StoreUnreachable, Trouble
from gateway.redis.connection import CommandConnection, Connection
from gateway.redis.subscriber_connection import SubscriberConnection
from gateway.redis.troubles import trouble_with, unfit
from gateway.redis_url import RedisUrl, Topology, read_redis_url

AnyConnection = TypeVar("AnyConnection", CommandConnection, SubscriberConnection)

CONNECT_S = 1.0
"""Longest wait for one connection and its greeting: a stopped server accepts and never answers."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One Redis server and how to be let in."""

    host: str = "127.0.0.1"
    port: int = 6379
    path: str | None = None
    database: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None
    is_node: bool = False
    """Whether it must be a node of a Cluster."""

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


class FixedFinder:
    """One server, always the same."""

    must_be_primary = False

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    async def find(self) -> Endpoint:
        return self._endpoint

    async def watch(self, on_moved: Callable[[str], None]) -> None:
        """One server stays where it is: there is nothing to tell, ever."""
        await asyncio.Event().wait()


def is_cluster(url: str) -> bool:
    """Whether the URL names a Redis Cluster. Raises UrlError."""
    return read_redis_url(url).topology is Topology.CLUSTER


def endpoint_of(url: str) -> Endpoint:
    """The one server of a URL. Raises UrlError, as all readers do."""
    return endpoints_of(read_redis_url(url))[0]


def endpoints_of(url: RedisUrl) -> list[Endpoint]:
    """The servers of a URL, each with the same way in."""
    way_in = Endpoint(
        path=url.path,
        database=url.database,
        username=url.username,
        password=url.password,
        tls=url.tls,
        is_node=url.topology is Topology.CLUSTER,
    )
    return [replace(way_in, host=host, port=port) for host, port in url.hosts] or [way_in]


async def open_connection(
    endpoint: Endpoint, make: Callable[[], AnyConnection], name: str, must_be_primary: bool = False
) -> AnyConnection:
    """Connects, greets and names the connection; raises StoreUnavailable when that fails or takes over a second."""
    try:
        async with asyncio.timeout(CONNECT_S):
            connection = await _connect(endpoint, make)
            try:
                await _greet(connection, endpoint, name, must_be_primary)
            except BaseException:
                connection.abort()
                raise
            return connection
    except StoreUnreachable:
        raise
    except (OSError, TimeoutError, ValueError, StoreError) as error:
        raise StoreUnreachable(trouble_with(str(endpoint), error)) from error


async def open_with_scripts(
    endpoint: Endpoint, make: Callable[[], CommandConnection], name: str, must_be_primary: bool = False
) -> CommandConnection:
    """The same, once the server knows the scripts: one that does not take them cannot serve, and would refuse each
    command."""
    connection = await open_connection(endpoint, make, name, must_be_primary)
    try:
        for reply in await connection.load_scripts():
            if isinstance(reply, BaseException):
                raise StoreUnreachable(trouble_with(str(endpoint), reply)) from reply
    except BaseException:
        connection.abort()
        raise
    return connection


async def _connect(endpoint: Endpoint, make: Callable[[], AnyConnection]) -> AnyConnection:
    loop = asyncio.get_running_loop()
    if endpoint.path is not None:
        _, connection = await loop.create_unix_connection(make, endpoint.path)
    else:
        server_name = endpoint.host if endpoint.tls else None
        _, connection = await loop.create_connection(
            make, endpoint.host, endpoint.port, ssl=endpoint.tls, server_hostname=server_name
        )
    return connection


async def _greet(connection: Connection, endpoint: Endpoint, name: str, must_be_primary: bool) -> None:
    """Lets itself in, and learns which server this is. Only that is insisted on: a server, or a proxy before it, may
    refuse to be asked who it is or to give the connection a name."""
    assert isinstance(connection, CommandConnection | SubscriberConnection)
    needed = []
    if endpoint.password is not None:
        user = (endpoint.username,) if endpoint.username else ()
        needed.append(connection.call("AUTH", *user, endpoint.password))
    if endpoint.database:
        needed.append(connection.call("SELECT", endpoint.database))
    wished = [connection.call("INFO", "server"), connection.call("CLIENT", "SETNAME", name)]
    if must_be_primary:
        wished.append(connection.call("ROLE"))
    replies: list[Any] = await asyncio.gather(*needed, *wished, return_exceptions=True)
    told = replies[len(needed) :]
    for reply in (*replies[: len(needed)], *(each for each in told if not _is_unwilling(each))):
        if isinstance(reply, BaseException):
            raise reply
    _judge(endpoint, *told)
    connection.server = _run_id(told[0]) or str(endpoint)


def _is_unwilling(reply: object) -> bool:
    """Whether a server, asked about itself, rather would not say; one that lets nobody in is another matter."""
    return isinstance(reply, StoreRefused) or (isinstance(reply, StoreDenied) and "NOPERM" in str(reply))


def _judge(endpoint: Endpoint, info: object, _name: object, role: object = None) -> None:
    """Raises StoreUnreachable for a server that says that it is another one than the URL means."""
    if isinstance(role, list) and role[0] != b"master":
        raise StoreUnreachable(
            Trouble(
                f"{endpoint} is a {role[0].decode()}, not the primary",
                "waiting helps: the primary is asked for again until it is one",
            )
        )
    if isinstance(info, bytes) and (trouble := unfit(str(endpoint), info, endpoint.is_node)) is not None:
        raise StoreUnreachable(trouble)


def _run_id(info: object) -> str:
    """The server process's own name, which no other bears; empty where INFO is not allowed."""
    _, found, rest = info.partition(b"run_id:") if isinstance(info, bytes) else (b"", b"", b"")
    return rest.split(b"\r\n", 1)[0].decode() if found else ""


def with_address(endpoint: Endpoint, host: str, port: int) -> Endpoint:
    """The same way in at another address (nodes of one Cluster)."""
    return replace(endpoint, host=host, port=port, path=None)
