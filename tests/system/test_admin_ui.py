"""The official Socket.IO Admin UI: what it is told by its protocol, and who is told nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
import pytest_asyncio
import redis.asyncio
import socketio
from socketio.exceptions import ConnectionError as Refused

from tests.support.backends import key_for
from tests.support.gateways import Gateway
from tests.support.opener import Opener
from tests.support.servers import Valkey
from tests.support.stock_clients import JavaScriptClient
from tests.support.topologies import standalone
from tests.support.waiting import stays, until

KEY, VARIABLE = key_for("ops")
ON = {"GATEWAY_ADMIN_UI": "on", "GATEWAY_API_KEYS": VARIABLE}
SIGNS_IN = {"username": "me", "password": KEY}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hosts() -> AsyncIterator[tuple[Gateway, Gateway]]:
    """Two hosts of one gateway: the UI may connect to the first, with two workers; the second knows nothing of it."""
    async with standalone("none") as server:
        here, there = Gateway(server.url, 2, environment=ON), Gateway(server.url, 1)
        try:
            await asyncio.gather(here.start(), there.start())
            yield here, there
        finally:
            await asyncio.gather(here.__aexit__(None, None, None), there.__aexit__(None, None, None))


async def refusal(url: str, auth: dict[str, Any]) -> Any:
    """What a stock client is told by CONNECT_ERROR."""
    told: list[Any] = []
    client = socketio.AsyncClient(reconnection=False)
    client.on("connect_error", told.append, namespace="/admin")
    with pytest.raises(Refused):
        await client.connect(url, namespaces=["/admin"], auth=auth, transports=["websocket"], wait_timeout=10)
    await client.disconnect()
    assert len(told) == 1
    return told[0]


@asynccontextmanager
async def admin_ui(
    url: str, auth: dict[str, Any] = SIGNS_IN, way: Any = "websocket"
) -> AsyncIterator[JavaScriptClient]:
    """A stock client that connects as the UI does."""
    async with JavaScriptClient() as client:
        await client.connect(f"{url}/admin", way, auth=auth)
        yield client


def servers(client: JavaScriptClient) -> dict[str, dict[str, Any]]:
    """The last words about each server, by its id."""
    return {data["serverId"]: data for name, data in client.events if name == "server_stats"}


def counted(client: JavaScriptClient, kind: str) -> int:
    """How often something happened, as the UI adds it up."""
    stats = [data for name, data in client.events if name == "server_stats"]
    return sum(one["count"] for each in stats for one in each["aggregatedEvents"] if one["type"] == kind)


async def sees(client: JavaScriptClient, is_so: Callable[[], bool], what: str) -> None:
    await until(is_so, 15.0, what)


@pytest.mark.usefixtures("javascript")
async def test_a_stock_client_is_told_of_all_workers_of_all_hosts(
    hosts: tuple[Gateway, Gateway], room: str, connect: Opener
) -> None:
    gateway, other = hosts
    async with admin_ui(gateway.url) as ui:
        names = await gateway.worker_names() | await other.worker_names()
        ann, bob = await connect(gateway.url), await connect(other.url)
        await ann.join("ann", room)
        await bob.join("bob", room)
        await sees(ui, lambda: set(servers(ui)) == names, "all servers")
        await sees(ui, lambda: chatting(ui) == 2, "both clients")
        assert [name for name, _ in ui.events[:3]] == ["session", "config", "all_sockets"]
        assert ui.events[1][1] == {"supportedFeatures": ["AGGREGATED_EVENTS"]}
        assert ui.events[2][1] == []
        assert sum(each["clientsCount"] for each in servers(ui).values()) == 3
        assert {each["pid"] for each in servers(ui).values()} == {
            *gateway.worker_pids(),
            *other.worker_pids(),
        }
        await ann.send(room, "the kettle is on")
        await until(lambda: len(bob.ids(room)) == 1, what="bob has it")
        await bob.close()
        is_told = {"packetsOut": 2, "rawConnection": 2, "rawDisconnection": 1}
        await sees(ui, lambda: {kind: counted(ui, kind) for kind in is_told} == is_told, "what happened")
        is_silent_of_people(ui, ann.sid)
        assert KEY not in gateway.log()


def chatting(client: JavaScriptClient) -> int:
    found = [each for one in servers(client).values() for each in one["namespaces"]]
    return sum(each["socketsCount"] for each in found if each["name"] == "/")


def is_silent_of_people(client: JavaScriptClient, *secrets: str) -> None:
    """Neither headers nor addresses, nor who is where, nor the key."""
    said = orjson.dumps([each for each in client.events if each[0] != "session"]).decode().lower()
    for word in ("headers", "user-agent", "cookie", "127.0.0.1", "ann", "kettle", KEY.lower(), *secrets):
        assert word not in said


@pytest.mark.usefixtures("javascript")
async def test_a_ui_comes_back_by_its_session_id_on_any_worker_and_by_polling(
    hosts: tuple[Gateway, Gateway],
) -> None:
    url = hosts[0].url
    async with admin_ui(url) as first:
        await sees(first, lambda: len(servers(first)) == 3, "all servers")
        session = dict(first.events)["session"]
    async with admin_ui(url, {"sessionId": session}, "polling") as again:
        await sees(again, lambda: polling(again) == 1, "itself")
        for event in ("emit", "join", "leave", "_disconnect"):
            await again.emit(event, "/")
        before = len(again.events)
        await sees(again, lambda: len(again.events) > before, "that it is told on")
    assert await refusal(url, {"sessionId": session + "0"}) == {"message": "invalid credentials"}
    assert "Traceback" not in hosts[0].log()


def polling(client: JavaScriptClient) -> int:
    return sum(each["pollingClientsCount"] for each in servers(client).values())


async def test_who_has_no_key_is_told_so_in_the_words_of_the_ui(hosts: tuple[Gateway, Gateway]) -> None:
    for wrong in ({"username": "ops", "password": "gwk_wrong"}, {"sessionId": None}, {}):
        assert await refusal(hosts[0].url, wrong) == {"message": "invalid credentials"}


async def test_it_is_off_unless_somebody_turns_it_on(gateway: Gateway) -> None:
    assert await refusal(gateway.url, SIGNS_IN) == {"message": "Invalid namespace"}


@pytest.mark.long
@pytest.mark.parametrize(
    "environment",
    [{"GATEWAY_API_KEYS": VARIABLE}, {"GATEWAY_ADMIN_UI": "on"}],
    ids=["key alone", "option alone"],
)
async def test_it_takes_the_option_and_a_key(server: Valkey, environment: dict[str, str]) -> None:
    async with Gateway(server.url, 1, environment=environment) as gateway:
        assert await refusal(gateway.url, SIGNS_IN) == {"message": "Invalid namespace"}


@pytest.mark.long
async def test_nothing_is_asked_while_nobody_is_connected(server: Valkey) -> None:
    async with (
        Gateway(server.url, 1, environment=ON) as gateway,
        redis.asyncio.from_url(server.url) as store,
        store.pubsub(ignore_subscribe_messages=True) as heard,
    ):
        await heard.subscribe("gateway:control")

        async def is_asked() -> bool:
            message = await heard.get_message(timeout=0.05)
            return message is not None and b'"what":"server"' in message["data"]

        async def is_not_asked() -> bool:
            return not await is_asked()

        await stays(is_not_asked, 1.0, "nobody asks")
        client = socketio.AsyncClient(reconnection=False)
        told: list[Any] = []
        client.on("server_stats", told.append, namespace="/admin")
        await client.connect(gateway.url, namespaces=["/admin"], auth=SIGNS_IN, transports=["websocket"])
        await until(lambda: told, 10.0, "its numbers")
        await until(is_asked, 10.0, "a question")
        await client.disconnect()
        await until(lambda: "admin_ui_disconnected" in gateway.log(), what="that it has gone")
        await until(is_not_asked, what="that all questions until then are read")
        await stays(is_not_asked, 2.5, "nobody asks any more")
