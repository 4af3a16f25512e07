"""Two gateways of two workers each behind HAProxy and behind nginx, configured by the files of `deploy/`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
import pytest_asyncio

from tests.support.balancers import balancer
from tests.support.clients import Member, Transport
from tests.support.gateways import Gateway
from tests.support.opener import Opener
from tests.support.stock_clients import JavaScriptClient, PythonClient, StockClient, Way
from tests.support.waiting import until

MEMBERS = 16


class Site(NamedTuple):
    """Two gateways and what stands before them."""

    kind: str
    url: str
    gateways: tuple[Gateway, Gateway]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def two_gateways(redis_url: str) -> AsyncIterator[tuple[Gateway, Gateway]]:
    """Two gateways over one Redis."""
    trusting = {"GATEWAY_TRUSTED_PROXIES": "127.0.0.1", "GATEWAY_GRACE_S": "1"}
    async with (
        Gateway(redis_url, workers=2, environment=trusting) as one,
        Gateway(redis_url, workers=2, environment=trusting) as two,
    ):
        yield one, two


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["haproxy", "nginx"])
async def site(request: pytest.FixtureRequest, two_gateways: tuple[Gateway, Gateway]) -> AsyncIterator[Site]:
    """Both behind one balancer."""
    async with balancer(request.param, [gateway.port for gateway in two_gateways]) as url:
        yield Site(request.param, url, two_gateways)


@pytest.mark.parametrize("transport", ["polling", "upgrade", "websocket"])
async def test_sessions_stay_whole_and_members_of_both_gateways_see_one_order(
    site: Site, transport: Transport, room: str, connect: Opener
) -> None:
    members = await asyncio.gather(*(connect(site.url, transport) for _ in range(MEMBERS)))
    await asyncio.gather(*(member.join(f"user-{n}", room) for n, member in enumerate(members)))
    await asyncio.gather(*(member.send(room, f"{n}") for n, member in enumerate(members)))
    await until(
        lambda: all(len(member.ids(room)) == MEMBERS for member in members), what="all messages for all"
    )
    assert len({tuple(member.ids(room)) for member in members}) == 1
    if (
        site.kind == "haproxy" or transport == "websocket"
    ):  # nginx sends all that poll from one address to one
        assert all([await _holds_some(gateway, members) for gateway in site.gateways])


@pytest.mark.parametrize("way", ["polling", "upgrade", "websocket"])
@pytest.mark.parametrize("kind", [PythonClient, JavaScriptClient], ids=["python", "javascript"])
async def test_stock_clients_work_through_it(
    site: Site, kind: type[StockClient], way: Way, room: str, connect: Opener, javascript: None
) -> None:
    other, client = await connect(site.gateways[0].url), kind()
    await other.join("other", room)
    await client.connect(site.url, way)
    assert (await client.call("join", {"username": "stock", "room": room}))["ok"] is True
    sent = await client.call("send", {"username": "stock", "room": room, "message": "hello"})
    await other.send(room, "answer")
    await until(
        lambda: [data["id"] for data in client.received if "id" in data] == other.ids(room),
        what="the same for both",
    )
    assert other.ids(room)[0] == sent["id"]
    await client.close()


async def test_a_gateway_that_is_gone_gets_no_members_and_those_it_had_return(
    site: Site, room: str, connect: Opener
) -> None:
    gone, stays = site.gateways
    members = await asyncio.gather(*(connect(site.url) for _ in range(MEMBERS)))
    for number, member in enumerate(members):
        await member.join(f"user-{number}", room)
    sent = (await members[0].send(room, "before"))["id"]
    await until(lambda: all(member.ids(room) == [sent] for member in members), what="the message before")
    gone.kill()
    await until(lambda: any(member.closed.is_set() for member in members), what="its members lose it")
    lost = [number for number, member in enumerate(members) if member.closed.is_set()]
    back = [await connect(site.url) for _ in lost]
    names = await stays.worker_names()
    for number, member in zip(lost, back, strict=True):
        assert (await member.join(f"user-{number}", room, since=sent))["recovered"] is True
        assert member.sid.partition(".")[0] in names
    await gone.start()
    await until(lambda: _is_offered(site, gone, connect), 30, "the gateway that came back gets members")


async def _holds_some(gateway: Gateway, members: list[Member]) -> bool:
    return bool({member.sid.partition(".")[0] for member in members} & await gateway.worker_names())


async def _is_offered(site: Site, gateway: Gateway, connect: Opener) -> bool:
    return await _holds_some(gateway, [await connect(site.url) for _ in range(4)])
