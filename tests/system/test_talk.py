"""What clients say beside messages, as a running gateway and stock clients do it; and the examples of the pages."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.access.patterns import matches
from tests.support.clients import Member
from tests.support.gateways import REPOSITORY, Gateway
from tests.support.identified import with_secrets
from tests.support.opener import Opener
from tests.support.stock_clients import JavaScriptClient
from tests.support.tokens import signed
from tests.support.topologies import cluster, sentinels
from tests.support.waiting import until

ROOMS_PAGE = (REPOSITORY / "docs/rooms.md").read_text()
CLIENTS_PAGE = (REPOSITORY / "docs/clients.md").read_text()
REST = '[[room]]\nmatch = "**"\njoin = "anyone"\nreceipts = true\n'


def told(member: Member, name: str) -> list[Any]:
    """The data of all events of that name."""
    return [each.data for each in member.arrivals if each.name == name]


async def test_a_signal_reaches_all_others_by_each_route(routed: Gateway, room: str, connect: Opener) -> None:
    ann, ben = await connect(routed.url), await connect(routed.url, "polling")
    await ann.join("ann", room)
    await ben.join("ben", room)
    answer = await ann.call("signal", {"room": room, "kind": "typing", "data": ["é", None]})
    assert answer == {"ok": True}
    await until(lambda: told(ben, "signal"), what="the signal")
    assert told(ben, "signal") == [{"room": room, "kind": "typing", "username": "ann", "data": ["é", None]}]
    answer = await ben.call("unread", {"rooms": [room]})
    assert (answer["rooms"][room]["read"], answer["rooms"][room]["unread"]) == (None, None)
    assert told(ann, "signal") == []


# -- with tokens, rules, and the filter of docs/rooms.md


@pytest.fixture(scope="module")
def filter_of_the_page() -> Iterator[str]:
    """The Flask application of docs/rooms.md, served."""
    pytest.importorskip("flask", reason="Flask comes with the group `load`")
    from werkzeug.serving import make_server

    (code,) = re.findall(r"```python\n(# may_say.*?)```", ROOMS_PAGE, re.DOTALL)
    names: dict[str, Any] = {"__name__": "may_say"}
    exec(code, names)
    server = make_server("127.0.0.1", 0, names["app"], threaded=True)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    yield f"http://127.0.0.1:{server.server_port}/may-say"
    server.shutdown()
    serving.join(10)
    server.server_close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def talking(
    redis_url: str, filter_of_the_page: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    """Two workers where tokens count, with the rule of the page for `class:**`."""
    folder = tmp_path_factory.mktemp("talking")
    (rule,) = re.findall(r"```toml\n(\[\[room\]\]\nmatch = \"class:.*?)```", ROOMS_PAGE, re.DOTALL)
    file = folder / "gateway.toml"
    file.write_text(rule + REST)
    environment = with_secrets(
        folder, "optional", GATEWAY_CONFIG=str(file), GATEWAY_SEND_HOOK=filter_of_the_page
    )
    async with Gateway(redis_url, workers=2, environment=environment) as running:
        yield running


async def user(connect: Opener, gateway: Gateway, name: str) -> Member:
    """Connected, with a token."""
    return await connect(gateway.url, auth={"token": signed(kid="one", sub=name.lower(), name=name)})


async def test_the_filter_of_the_page_changes_and_refuses_messages(
    talking: Gateway, room: str, connect: Opener
) -> None:
    assert matches("class:**", f"class:{room}")
    ada, ben = await user(connect, talking, "Ada"), await connect(talking.url)
    await ada.join("Ada", f"class:{room}")
    await ben.join("ben", f"class:{room}")
    assert (await ada.send(f"class:{room}", "Call me: 0151 2345678", idempotency_key="k", meta={"n": 1}))[
        "ok"
    ]
    refused = await ben.send(f"class:{room}", "That is stupid.")
    assert (refused["code"], refused["reason"], refused["message"]) == (
        "forbidden",
        "moderated",
        "Please be kind.",
    )
    await until(lambda: ben.messages(f"class:{room}"), what="the message")
    (live,) = [data for data in told(ben, "receive") if "id" in data]
    assert (live["message"], live["user"], live["meta"]) == ("Call me: (number)", "ada", {"n": 1})
    assert (await ada.send(room, "x"))["code"] == "not_joined"


async def test_marks_are_told_and_users_named(talking: Gateway, room: str, connect: Opener) -> None:
    ada, phone, ben = [await user(connect, talking, name) for name in ("Ada", "Ada", "Ben")]
    guest = await connect(talking.url)
    for member, name in ((ada, "Ada"), (phone, "Ada"), (ben, "Ben"), (guest, "cleo")):
        await member.join(name, room)
    ids = [(await ben.send(room, f"m{number}"))["id"] for number in range(3)]
    assert await ada.call("read", {"room": room, "id": ids[0]}) == {"ok": True, "unread": 2}
    answer = await phone.call("unread", {"rooms": [room]})
    assert answer["rooms"][room] == {"id": ids[2], "read": ids[0], "unread": 2}
    for member in (phone, ben, guest):
        await until(lambda member=member: told(member, "read"), what="the receipt")
        assert told(member, "read") == [{"room": room, "user": "ada", "username": "Ada", "id": ids[0]}]
    answer = await guest.call("members", {"room": room})
    assert (sorted(answer["members"]), answer["count"]) == (["Ada", "Ben", "cleo"], 3)
    assert sorted(answer["users"], key=lambda one: str(one["user"])) == [
        {"user": "ada", "username": "Ada"},
        {"user": "ben", "username": "Ben"},
    ]


# -- the recipes of docs/clients.md


def recipe(name: str) -> str:
    """Its code on the page."""
    (code,) = re.findall(rf"```javascript\n(// {name}\n.*?)```", CLIENTS_PAGE, re.DOTALL)
    return str(code)


def shown(client: JavaScriptClient) -> list[Any]:
    """What the page would show, step by step."""
    return [data for name, data in client.events if name == "shown"]


SHOW = (
    'const show = (value) => console.log(JSON.stringify({ what: "event", arguments: ["shown", value] }));\n'
)
FASTER = """
const slow = globalThis.setTimeout, begun = globalThis.Date.now();
const setTimeout = (call, ms) => slow(call, ms / 20);
const Date = { now: () => 20 * (globalThis.Date.now() - begun) };
"""
"""A page's time, twenty times as fast."""


async def test_the_recipe_for_typing_shows_who_types_and_takes_it_away(
    talking: Gateway, room: str, connect: Opener, javascript: None, tmp_path: Path
) -> None:
    ben = await connect(talking.url)
    await ben.join("ben", room)
    async with JavaScriptClient() as page:
        await page.connect(talking.url, "websocket")
        assert (await page.call("join", {"username": "ann", "room": room}))["ok"]
        file = tmp_path / "typing.js"
        begins = f"{SHOW}{FASTER}const room = {json.dumps(room)}, showTyping = show;\n"
        ends = 'for (let n = 0; n < 5; n++) keyPressed();\nsocket.on("pressed", keyPressed);\n'
        file.write_text(begins + recipe("typing") + ends)
        page.run_snippet(str(file))
        await until(lambda: told(ben, "signal"), what="ben hears of ann")
        await ben.emit("signal", {"room": room, "kind": "typing"})
        await until(lambda: shown(page) == [["ben"], []], what="it is shown, and ends by itself")
        await ben.emit("signal", {"room": room, "kind": "typing"})
        await until(lambda: shown(page)[2:3] == [["ben"]], what="it is shown again")
        await ben.send(room, "said")
        await until(lambda: shown(page)[3:] == [[]], what="it ends with the message")
        assert [data["username"] for data in told(ben, "signal")] == ["ann"], "five keys are one signal"


async def test_the_recipe_for_unread_counts_marks_and_comes_back(
    talking: Gateway, room: str, connect: Opener, javascript: None, tmp_path: Path
) -> None:
    ben, open_room = await connect(talking.url), f"{room}-open"
    for name in (room, open_room):
        await ben.join("ben", name)
        await ben.send(name, "before")
    async with JavaScriptClient() as page:
        await page.connect(talking.url, "websocket", token=signed(kid="one", sub=f"u-{room}", name="Ann"))
        for name in (room, open_room):
            assert (await page.call("join", {"username": "Ann", "room": name}))["ok"]
        file = tmp_path / "unread.js"
        begins = f"""{SHOW}{FASTER}
            const ask = (event, data) => socket.timeout(5000).emitWithAck(event, data);
            const isVisible = (room) => room === {json.dumps(open_room)};
            const showUnread = (unread) => show(Object.fromEntries(unread));
        """
        rooms = json.dumps([room, open_room])
        file.write_text(begins + recipe("unread") + f"askUnread({rooms});\n")
        page.run_snippet(str(file))
        await until(lambda: shown(page) == [{room: 1, open_room: 1}], what="the numbers at the start")
        for _ in range(3):
            await ben.send(room, "unseen")
            await ben.send(open_room, "seen")
        await until(lambda: shown(page)[-1] == {room: 4, open_room: 0}, what="counted, and marked")
        answer = await page.call("unread", {"rooms": [room, open_room]})
        assert [answer["rooms"][name]["unread"] for name in (room, open_room)] == [4, 0]


# -- on other servers, and under load


@pytest.mark.long
@pytest.mark.parametrize("servers", [cluster, sentinels])
async def test_all_of_it_works_on_every_topology(
    servers: Any, tmp_path: Path, room: str, connect: Opener
) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(REST)
    environment = with_secrets(tmp_path, GATEWAY_CONFIG=str(file))
    async with servers(persistence="none") as found:
        async with Gateway(found.url, workers=2, environment=environment) as gateway:
            ada, ben = await user(connect, gateway, "Ada"), await user(connect, gateway, "Ben")
            rooms = [f"{room}-{number}" for number in range(9)]  # on all primaries
            ids = {}
            for name in rooms:
                await ada.join("Ada", name)
                await ben.join("Ben", name)
                ids[name] = [(await ben.send(name, "x", meta={"n": 1}))["id"] for _ in range(3)]
                assert await ben.call("signal", {"room": name, "kind": "k"}) == {"ok": True}
                assert await ada.call("read", {"room": name, "id": ids[name][0]}) == {"ok": True, "unread": 2}
                assert len((await ada.call("members", {"room": name}))["users"]) == 2
            answer = await ada.call("unread", {"rooms": rooms})
            assert answer["rooms"] == {
                name: {"id": ids[name][2], "read": ids[name][0], "unread": 2} for name in rooms
            }
            await until(lambda: len(told(ada, "signal")) == 9, what="all signals")
            await until(lambda: len(told(ben, "read")) == 9, what="all receipts")


@pytest.mark.long
async def test_a_thousand_signals_a_second_in_rooms_of_20_write_nothing(
    server: Any, room: str, connect: Opener
) -> None:
    """Ten rooms of 20 members who signal 5 times a second each, for 10 s."""
    async with Gateway(server.url, workers=2, GATEWAY_HEARTBEAT_S="5") as gateway:
        members = [await connect(gateway.url) for _ in range(200)]
        for number, member in enumerate(members):
            await member.join(f"user-{number}", f"{room}-{number % 10}")
        await asyncio.sleep(0.5)  # joins of the last ones, and what is told of them
        keys = sorted(await server.ask("KEYS", "*"))
        await server.ask("CONFIG", "RESETSTAT")
        loop, begun = asyncio.get_running_loop(), asyncio.get_running_loop().time()
        for turn in range(50):
            for number, member in enumerate(members):
                await member.emit("signal", {"room": f"{room}-{number % 10}", "kind": "typing"})
            await asyncio.sleep(max(0.0, begun + 0.2 * (turn + 1) - loop.time()))
        took_s = loop.time() - begun
        await until(lambda: all(len(told(one, "signal")) == 950 for one in members), 30, "everything came")
        stats = await server.ask("INFO", "commandstats")
        calls = {name.removeprefix("cmdstat_"): about["calls"] for name, about in stats.items()}
        print(f"\n10,000 signals in {took_s:.1f} s: {calls}")
        assert 10_000 <= calls["publish"] <= 10_000 + 20 * took_s, "probes are publishes, too"
        beats = {
            "zadd",
            "hset",
            "hdel",
            "del",
            "expire",
            "set",
            "rpush",
            "hincrby",
            "pexpire",
            "srem",
            "sadd",
        }
        assert sum(calls.get(name, 0) for name in beats) <= 20 * took_s, "heartbeats of two workers, no more"
        assert sorted(await server.ask("KEYS", "*")) == keys
