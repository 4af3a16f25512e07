"""Two gateways of two workers each behind HAProxy and behind nginx, configured by the files of `deploy/`."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from typing import NamedTuple

import aiohttp
import pytest
import pytest_asyncio

from tests.support.backends import key_for
from tests.support.balancers import balancer
from tests.support.clients import Member, Transport
from tests.support.gateways import Gateway
from tests.support.opener import Opener
from tests.support.stock_clients import JavaScriptClient, PythonClient, StockClient, Way
from tests.support.waiting import Stopwatch, until

MEMBERS = 16
API_KEY, API_KEYS = key_for()


class Site(NamedTuple):
    """Two gateways and what stands before them."""

    kind: str
    url: str
    gateways: tuple[Gateway, Gateway]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def two_gateways(redis_url: str) -> AsyncIterator[tuple[Gateway, Gateway]]:
    """Two gateways over one Redis."""
    trusting = {
        "GATEWAY_TRUSTED_PROXIES": "127.0.0.1", "GATEWAY_GRACE_S": "1", "GATEWAY_API_KEYS": API_KEYS,
    }  # fmt: skip
    async with (
        Gateway(redis_url, workers=2, environment=trusting, GATEWAY_NAME="1") as one,
        Gateway(redis_url, workers=2, environment=trusting, GATEWAY_NAME="2") as two,
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
    await until(lambda: len(other.ids(room)) == 2, what="both messages")
    await until(
        lambda: [data["id"] for data in client.received if "id" in data] == other.ids(room),
        what="the same for both",
    )
    assert other.ids(room)[0] == sent["id"]
    await client.close()


HIDDEN = (
    "/metrics", "/metrics/", "/metrics?x=1", "/metrics#x", "/metrics/#x", "/%6detrics", "/%6Detrics", "/%6d%65trics",
    "/metric%73", "/metrics%2f", "/metrics%3fx", "/metrics%23", "//metrics", "/./metrics", "/x/../metrics",
    "/%2e/metrics", "/%2fmetrics", "/%256detrics", "/metrics;x", "/metrics%00", "/metrics%20", "/prefix/metrics",
    "/prefix/%6detrics/", "http://any/metrics", "http://any/%6detrics",
)  # fmt: skip
"""Spellings of the path that nobody outside may read: those that a gateway takes for it, and those that it might."""


@pytest.mark.parametrize("target", HIDDEN)
async def test_no_spelling_of_the_metrics_gets_through(site: Site, target: str) -> None:
    answer = await _raw(site.url, target)
    assert int(answer.split()[1]) in (400, 403, 404)
    assert b"gateway_" not in answer


HIDDEN_API = (
    "/api", "/api/", "/api/v1/stats", "/api/v1/stats/", "/api/v1/openapi.json", "/api?x=1", "/api/v1/stats#x",
    "/%61pi/v1/stats", "/%61%70%69/v1/stats", "/ap%69/v1/stats", "/api%2fv1/stats", "/api/v1%2fstats", "//api/v1/stats",
    "/./api/v1/stats", "/x/../api/v1/stats", "/%2e/api/v1/stats", "/%2fapi/v1/stats", "/%2561pi/v1/stats", "/api;x/v1",
    "/api%00/v1/stats", "/prefix/api/v1/stats", "/prefix/%61pi/v1/stats", "http://any/api/v1/stats",
    "http://any/%61pi/v1/stats", "/admin", "/%61dmin/", "/admin/x",
)  # fmt: skip
"""The same for the server API, whose key somebody may have lost."""


@pytest.mark.parametrize("target", HIDDEN_API)
async def test_no_spelling_of_the_server_api_gets_through(site: Site, target: str) -> None:
    for verb in ("GET", "POST"):
        answer = await _raw(site.url, target, verb, f"X-API-Key: {API_KEY}\r\n")
        assert int(answer.split()[1]) in (400, 403, 404), answer
        assert b"connections" not in answer
        assert b"retryable" not in answer


async def test_what_members_need_gets_through(site: Site) -> None:
    assert (await _raw(site.url, "/healthz")).split()[1] == b"200"
    assert (await _raw(site.url, "/socket.io/?EIO=4&transport=polling&x=/metrics")).split()[1] == b"200"
    assert b"gateway_" in await _raw(site.gateways[0].url, "/metrics"), "at the gateway itself it is there"
    inside = await _raw(site.gateways[0].url, "/%61pi/v1/stats", "POST", f"X-API-Key: {API_KEY}\r\n")
    assert b"connections" in inside, "and so is the server API"


OUT_AT_MOST_S = 3.0


@pytest.mark.long
async def test_new_clients_that_poll_come_in_all_through_a_rolling_restart(
    site: Site, connect: Opener
) -> None:
    """One gateway after the other stops, drained, and starts anew; the next as soon as the last one is ready."""
    came: list[float] = [time.monotonic()]

    async def come() -> None:
        while True:
            try:
                async with await Member.connect(site.url, "polling", limit_s=OUT_AT_MOST_S):
                    came.append(time.monotonic())
            except (ConnectionError, TimeoutError, aiohttp.ClientError):
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.05)

    async with Stopwatch() as watch:
        coming = [asyncio.create_task(come()) for _ in range(3)]
        for gateway in site.gateways:
            await gateway.stop()
            await gateway.start()
            await asyncio.sleep(2)  # HAProxy asks /readyz twice before it trusts a gateway again
        for each in coming:
            each.cancel()
        await asyncio.wait(coming)
    came.append(time.monotonic())
    longest_s = max(later - earlier for earlier, later in itertools.pairwise(came))
    assert longest_s <= OUT_AT_MOST_S + watch.held_up_s
    assert len(came) > 20


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


async def _raw(url: str, target: str, verb: str = "GET", headers: str = "") -> bytes:
    """The answer to a target that no client library would send."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    try:
        writer.write(f"{verb} {target} HTTP/1.1\r\nHost: any\r\n{headers}Connection: close\r\n\r\n".encode())
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


async def _holds_some(gateway: Gateway, members: list[Member]) -> bool:
    return bool({member.sid.partition(".")[0] for member in members} & await gateway.worker_names())


async def _is_offered(site: Site, gateway: Gateway, connect: Opener) -> bool:
    return await _holds_some(gateway, [await connect(site.url) for _ in range(4)])
