"""A gateway of one worker that speaks TLS itself (gunicorn's --certfile), as clients see it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import psutil
import pytest
import pytest_asyncio
import socketio

from tests.support.clients import Member, Transport
from tests.support.gateways import Gateway, fetch_json
from tests.support.opener import Opener
from tests.support.tls import certificate
from tests.support.waiting import until

LARGEST = "\x01" * 4096
"""As JSON 24 KiB, more than one TLS record."""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Certificate and key for 127.0.0.1."""
    with certificate("IP:127.0.0.1") as folder:
        yield folder


@pytest.fixture(scope="module")
def trusting(folder: Path) -> ssl.SSLContext:
    """Believes nobody but the bearer of that certificate."""
    return ssl.create_default_context(cafile=folder / "certificate")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def url(redis_url: str, folder: Path) -> AsyncIterator[tuple[str, Gateway]]:
    """A gateway that speaks TLS, and its URL."""
    options = ["--certfile", str(folder / "certificate"), "--keyfile", str(folder / "key")]
    async with Gateway(redis_url, workers=1, wait=False, arguments=options) as gateway:
        await until(lambda: "worker_ready" in gateway.log(), 30, "the worker is ready")
        yield gateway.url.replace("http", "https"), gateway


@pytest_asyncio.fixture(autouse=True)
async def until_all_are_closed(url: tuple[str, Gateway]) -> AsyncIterator[None]:
    """A connection over TLS takes its leave; the loop of a test must not end before."""
    yield
    ours = psutil.Process()

    def are_closed() -> bool:
        places = (connection.raddr for connection in ours.net_connections("tcp4"))
        return not any(place and place.port == url[1].port for place in places)

    await until(are_closed, what="the test's connections are closed")


async def test_every_transport_carries_every_message_over_tls(
    url: tuple[str, Gateway], trusting: ssl.SSLContext, connect: Opener, room: str
) -> None:
    ways: tuple[Transport, ...] = ("websocket", "polling", "upgrade")
    members: list[Member] = [await connect(url[0], way, tls=trusting) for way in ways]
    assert [member.transport for member in members] == ["websocket", "polling", "websocket"]
    for way, member in zip(ways, members, strict=True):
        assert (await member.join(way, room))["ok"] is True
    texts = [f"{number} {LARGEST[4:]}" for number in range(20)]
    answers = await asyncio.gather(
        *(members[number % 3].send(room, text) for number, text in enumerate(texts))
    )
    assert all(answer["ok"] for answer in answers)
    for member in members:
        await until(lambda member=member: len(member.messages(room)) == 20, what="all messages come")
        assert sorted(member.messages(room)) == sorted(texts)
        assert member.messages(room) == members[0].messages(room), "in one order"


async def test_a_stock_client_upgrades_over_tls(
    url: tuple[str, Gateway], trusting: ssl.SSLContext, room: str
) -> None:
    connector = aiohttp.TCPConnector(ssl=trusting)
    async with aiohttp.ClientSession(connector=connector) as http:
        client = socketio.AsyncClient(http_session=http)
        await client.connect(url[0], transports=["polling", "websocket"])
        assert (await client.call("join", {"username": "ann", "room": room}))["ok"] is True
        assert client.transport() == "websocket"
        await client.disconnect()


async def test_the_greeting_names_https_and_plain_http_harms_nobody(
    url: tuple[str, Gateway], trusting: ssl.SSLContext, connect: Opener, room: str
) -> None:
    address, gateway = url
    assert f"listens at {address} (1 worker)" in gateway.log()
    assert await fetch_json(f"{gateway.url}/healthz") == (0, {}), "no answer in the clear"
    with pytest.raises(aiohttp.ClientConnectorCertificateError):  # nobody's authority
        await Member.connect(address, tls=ssl.create_default_context())
    assert (await (await connect(address, tls=trusting)).join("ann", room))["ok"] is True
    assert "Traceback" not in gateway.log()
