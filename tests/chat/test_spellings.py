"""One room and one name, however they are spelt: in every event, in CONNECT, and from other processes."""

from __future__ import annotations

from gateway import keys
from gateway.socketio.client_manager import ClientManager
from tests.support.chat_worker import ChatWorker
from tests.support.waiting import until


async def test_every_event_finds_the_room_and_the_name_by_any_spelling(worker: ChatWorker, room: str) -> None:
    composed, other = f"{room}-café", f"{room}-cafe\u0301"
    ann, zoe = worker.connect(), worker.connect()
    assert (await ann.join(composed, "Ann"))["room"] == composed
    assert (await zoe.join(other, "Zoe\u0308"))["room"] == composed
    assert (await zoe.send(other, "one", username="Zoe\u0308"))["ok"]
    assert (await zoe.send(composed, "two", username="Zoë"))["ok"]
    await until(lambda: ann.messages() == ["one", "two"], what="both arrive")
    assert {(data["room"], data["username"]) for data in ann.events("receive") if "id" in data} == {
        (composed, "Zoë")
    }
    assert sorted((await ann.call("members", {"room": other}))["members"]) == ["Ann", "Zoë"]
    history = await ann.call("history", {"room": other})
    assert [message["message"] for message in history["messages"]] == ["one", "two"]
    assert (await zoe.call("leave", {"room": other}))["ok"]
    assert (await zoe.send(composed, "three"))["code"] == "not_joined"
    assert await worker.store.call(keys.history(other), "EXISTS", keys.history(other)) == 0


async def test_connect_joins_a_room_by_any_spelling(worker: ChatWorker, room: str) -> None:
    client = worker.connect()
    await client.connected({"join": [{"room": f"{room}-e\u0301", "username": "ann"}]})
    assert client.events("joined")[0]["room"] == f"{room}-é"


async def test_what_is_typed_while_away_is_taken_by_any_spelling(worker: ChatWorker, room: str) -> None:
    zoe = worker.connect()
    await zoe.join(f"{room}-é", "Zoë")
    zoe.close()
    back = worker.connect()
    assert (await back.send(f"{room}-e\u0301", "typed", username="Zoe\u0308"))["ok"]


async def test_other_processes_reach_a_room_by_any_spelling(worker: ChatWorker, room: str) -> None:
    client = worker.connect()
    await client.join(f"{room}-é", "ann")
    manager = ClientManager()
    manager._hub = worker.hub
    for spelling in ("é", "e\u0301"):
        found = [sid for sid, _ in manager._in_room("/", f"{room}-{spelling}")]
        assert found == [client.sid]
