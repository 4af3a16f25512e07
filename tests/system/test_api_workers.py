"""The server API over several workers, over every topology, and while Redis is away."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.support.backends import Backend, backend, key_for
from tests.support.clients import Member
from tests.support.gateways import Gateway
from tests.support.identified import with_secrets
from tests.support.opener import Opener
from tests.support.servers import Valkey
from tests.support.spread import one_on_each
from tests.support.tokens import signed
from tests.support.topologies import cluster, sentinels, standalone
from tests.support.waiting import until

pytestmark = pytest.mark.system

KEY, KEYS = key_for()


async def test_all_sessions_of_a_user_are_told_and_ended_on_all_workers(
    redis_url: str, tmp_path: Path, room: str
) -> None:
    environment = with_secrets(tmp_path, GATEWAY_API_KEYS=KEYS, GATEWAY_HEARTBEAT_S="0.2")
    auth = {"token": signed(sub="ada", name="Ada")}
    async with (
        Gateway(redis_url, workers=2, environment=environment) as gateway,
        backend(gateway.url, KEY) as api,
    ):
        adas = [await Member.connect(gateway.url, auth=auth) for _ in range(4)]
        ben = await Member.connect(gateway.url, auth={"token": signed(sub="ben", name="Ben")})
        for member in (*adas, ben):
            await member.join(f"{'Ben' if member is ben else 'Ada'}", room)
        told = await api.ok("members", room=room)
        assert {each["user"] for each in told["users"]} == {"ada", "ben"}
        await api.ok("signal", user="ada", kind="order", data={"n": 1})
        await until(lambda: all(_signals(each) for each in adas), what="every session of Ada has the signal")
        assert _signals(adas[0]) == [{"kind": "order", "username": "ChatBot", "data": {"n": 1}}]
        assert not _signals(ben)
        await api.ok("disconnect", user="ada", reconnect=True, code="moved")
        await until(lambda: all(each.closed.is_set() for each in adas), what="every session of Ada ends")
        assert not any(each.was_disconnected for each in adas)
        again = await Member.connect(gateway.url, auth=auth)
        await api.ok("disconnect", user="ada")
        await until(lambda: again.was_disconnected, what="Ada is told to stay away")
        assert not ben.closed.is_set()

        async def all_are_noted() -> bool:
            told = await api.ok("stats")
            return (
                len([each for each in told["workers"] if each["state"] == "ready"]) >= 2
                and told["connections"] >= 1
            )

        await until(all_are_noted, what="both workers tell of themselves")
        for member in (*adas, ben, again):
            await member.close()


def _signals(member: Member) -> list[Any]:
    return [data for name, data in member.arrivals if name == "signal"]


async def everything_works(api: Backend, gateway: Gateway, room: str, connect: Opener) -> None:
    """Each method that reads or writes, over whatever topology."""
    members = await one_on_each(gateway, connect)
    for number, member in enumerate(members):
        await member.join(f"m{number}", room)
    first = await api.ok("publish", room=room, message="1", user="u", meta={"a": 1}, idempotency_key="k")
    assert (await api.ok("publish", room=room, message="1", user="u", meta={"a": 1}, idempotency_key="k"))[
        "duplicate"
    ]
    rooms = [f"{room}-{number}" for number in range(20)]
    results = (await api.ok("broadcast", rooms=rooms, message="x"))["results"]
    assert all(each["id"].endswith(":1") for each in results)
    await until(
        lambda: all(member.ids(room) == [first["id"]] for member in members), what="the message everywhere"
    )
    assert len((await api.ok("history", room=room))["messages"]) == 1
    told = await api.ok("room", room=room)
    assert (told["id"], told["count"], len(told["workers"])) == (first["id"], 2, 2)
    assert (await api.ok("rooms", prefix=room))["rooms"] == [{"room": room, "count": 2}]
    assert (await api.ok("members", room=room))["count"] == 2
    await api.ok("ban", user="mallory")
    await api.ok("unban", user="mallory")
    assert (await api.ok("stats"))["rooms"] >= 1


TOPOLOGIES = {"standalone": standalone, "sentinel": sentinels, "cluster": cluster}


@pytest.mark.long
@pytest.mark.parametrize("route", ["auto", "shared"])
@pytest.mark.parametrize("kind", TOPOLOGIES)
async def test_every_topology_and_route_serves_it(kind: str, route: str, room: str, connect: Opener) -> None:
    made: AbstractAsyncContextManager[Any] = TOPOLOGIES[kind]()  # type: ignore[operator]
    async with (
        made as store,
        Gateway(
            store.url, workers=2, environment={"GATEWAY_API_KEYS": KEYS, "GATEWAY_ROUTE": route}
        ) as gateway,
        backend(gateway.url, KEY) as api,
    ):
        await everything_works(api, gateway, room, connect)


async def test_while_redis_is_away_nothing_is_answered_200(room: str) -> None:
    store = Valkey()
    await store.start()
    environment = {"GATEWAY_API_KEYS": KEYS, "GATEWAY_REDIS_TIMEOUT_S": "0.5"}
    try:
        async with (
            Gateway(store.url, workers=1, environment=environment) as gateway,
            backend(gateway.url, KEY) as api,
        ):
            await api.ok("publish", room=room, message="before")
            store.freeze()
            frozen = await asyncio.gather(*(_all_methods(api, room) for _ in range(2)))
            store.thaw()
            await until(lambda: _is_back(api, room), 20, "it is back")
            store.kill()
            for statuses in (*frozen, await _all_methods(api, room)):
                assert set(statuses) == {503}
            answer = await api.call("publish", room=room, message="x")
            assert (answer.data["code"], answer.data["retryable"]) == ("unavailable", True)
            assert answer.headers["Retry-After"] == "1"
    finally:
        store.close()


async def _is_back(api: Backend, room: str) -> bool:
    return (await api.call("publish", room=room, message="x")).status == 200


async def _all_methods(api: Backend, room: str) -> list[int]:
    publish = {"method": "publish", "room": room, "message": "x"}
    calls: list[tuple[str, dict[str, Any]]] = [
        ("publish", {"room": room, "message": "x"}), ("broadcast", {"rooms": [room, f"{room}-2"], "message": "x"}),
        ("history", {"room": room}), ("members", {"room": room}), ("room", {"room": room}), ("rooms", {}),
        ("stats", {}), ("signal", {"user": "a", "kind": "x"}), ("disconnect", {"user": "a"}), ("ban", {"user": "a"}),
        ("unban", {"user": "a"}), ("revoke", {"user": "a"}), ("batch", {"commands": [publish, publish]}),
        ("batch", {"commands": [publish, publish], "parallel": True}),
    ]  # fmt: skip
    return list(await asyncio.gather(*((_status(api, method, fields)) for method, fields in calls)))


async def _status(api: Backend, method: str, fields: dict[str, Any]) -> int:
    return (await api.call(method, **fields)).status
