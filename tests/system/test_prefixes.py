"""Clients that come in under a path prefix: one that the gateways know, and one that the balancer takes away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

import aiohttp
import pytest
import pytest_asyncio

from tests.support.balancers import balancer
from tests.support.gateways import Gateway
from tests.support.stock_clients import JavaScriptClient, PythonClient, StockClient, Way
from tests.support.waiting import until

pytestmark = pytest.mark.system

KNOWN, TAKEN = "/apps/chat", "/old/chat"


class Site(NamedTuple):
    url: str
    prefix: str


SITES = [
    pytest.param(("haproxy", KNOWN), id="haproxy-known"),
    pytest.param(("haproxy", TAKEN), id="haproxy-taken-away", marks=pytest.mark.long),
    pytest.param(("nginx", KNOWN), id="nginx-known", marks=pytest.mark.long),
    pytest.param(("nginx", TAKEN), id="nginx-taken-away", marks=pytest.mark.long),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=SITES)
async def site(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[Site]:
    """Two gateways behind one balancer, under the prefix."""
    kind, prefix = request.param
    options = {"GATEWAY_TRUSTED_PROXIES": "127.0.0.1", "GATEWAY_GRACE_S": "1"}
    if prefix == KNOWN:
        options["GATEWAY_PATH_PREFIX"] = KNOWN
    one, two = (Gateway(redis_url, 1, environment=options, GATEWAY_NAME=name) for name in "12")
    async with one, two, balancer(kind, (one.port, two.port), prefix, takes_away=prefix == TAKEN) as url:
        yield Site(url, prefix)


CLIENTS = [
    pytest.param(PythonClient, "polling", id="python-polling"),
    pytest.param(PythonClient, "websocket", id="python-websocket", marks=pytest.mark.long),
    pytest.param(JavaScriptClient, "upgrade", id="javascript-upgrade"),
    pytest.param(JavaScriptClient, "polling", id="javascript-polling", marks=pytest.mark.long),
]


@pytest.mark.parametrize(("client_kind", "way"), CLIENTS)
async def test_stock_clients_chat_under_the_prefix(
    site: Site, room: str, client_kind: type[StockClient], way: Way, javascript: None
) -> None:
    members = [
        client_kind() for _ in range(3)
    ]  # more than one a gateway, so that sessions must be kept together
    for number, client in enumerate(members):
        await client.connect(site.url, way, f"{site.prefix}/socket.io")
        assert (await client.call("join", {"username": f"u{number}", "room": room}))["ok"] is True
    for number, client in enumerate(members):
        assert (await client.call("send", {"username": f"u{number}", "room": room, "message": "x"}))[
            "ok"
        ] is True

    def ids(client: StockClient) -> list[str]:
        return [data["id"] for data in client.received if "id" in data]

    await until(lambda: all(len(ids(client)) == 3 for client in members), what="all messages for all")
    assert ids(members[0]) == ids(members[1]) == ids(members[2])
    for client in members:
        await client.close()


async def test_what_is_for_everybody_is_under_the_prefix_and_what_is_not_is_hidden_there_too(
    site: Site,
) -> None:
    async with aiohttp.ClientSession() as web:
        for path, status in (
            ("/healthz", 200), ("/readyz", 200), ("/metrics", 404), ("/%6detrics", 404), ("/api/v1/stats", 404),
            ("/admin", 404), ("/admin/", 404),
        ):  # fmt: skip
            async with web.get(f"{site.url}{site.prefix}{path}") as answer:
                assert (path, answer.status) == (path, status)
