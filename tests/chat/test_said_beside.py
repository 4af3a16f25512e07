"""What goes with a message beside its text: who its sender is, by the token, and what the application wants."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway import keys
from gateway.access.identity import Identity
from tests.support.chat_worker import ChatWorker, Client
from tests.support.waiting import until

ADA = Identity(user="42", name="Ada")
META = {"reply_to": "e:7", "mentions": ["7", "é"]}


async def received(client: Client, number: int = 1) -> list[dict[str, Any]]:
    await until(lambda: len(client.messages()) == number, what="the messages")
    return [data for data in client.events("receive") if "id" in data]


async def test_members_get_both_live_and_later_and_in_history(worker: ChatWorker, room: str) -> None:
    ada, ben = worker.connect(identity=ADA), worker.connect()
    await ada.join(room, "Ada")
    await ben.join(room, "ben")
    answer = await ada.send(room, "hello", meta=META)
    (live,) = await received(ben)
    assert list(live) == ["message", "username", "__createdtime__", "room", "id", "user", "meta"]
    assert (live["id"], live["user"], live["meta"]) == (answer["id"], "42", META)
    late = worker.connect()
    await late.join(room, "late")
    assert await received(late) == [live]
    assert (await late.call("history", {"room": room}))["messages"] == [live]


async def test_a_guest_may_say_meta_and_has_no_user(worker: ChatWorker, room: str) -> None:
    ann = worker.connect()
    await ann.join(room)
    await ann.send(room, "hello", meta={}, user="42", user_id="42")
    (live,) = await received(ann)
    assert list(live) == ["message", "username", "__createdtime__", "room", "id", "meta"]
    assert live["meta"] == {}


async def test_nobody_says_who_the_sender_is_but_the_token(worker: ChatWorker, room: str) -> None:
    ada = worker.connect(identity=ADA)
    await ada.join(room, "Ada")
    await ada.send(room, "hello", user="7", meta={"user": "7"})
    (live,) = await received(ada)
    assert (live["user"], live["meta"]) == ("42", {"user": "7"})


async def test_without_a_token_and_without_meta_nothing_is_different(worker: ChatWorker, room: str) -> None:
    ann = worker.connect()
    await ann.join(room)
    await ann.send(room, "hello", meta=None)
    await ann.send(room, "again")
    for live in await received(ann, 2):
        assert list(live) == ["message", "username", "__createdtime__", "room", "id"]
    assert not await worker.store.call(keys.more(room), "EXISTS", keys.more(room))


async def test_the_list_keeps_three_fields(worker: ChatWorker, room: str) -> None:
    ada = worker.connect(identity=ADA)
    await ada.join(room, "Ada")
    await ada.send(room, "hello", meta=META)
    (stored,) = await worker.store.call(keys.history(room), "LRANGE", keys.history(room), 0, -1)
    assert list(json.loads(stored)) == ["message", "username", "__createdtime__"]


@pytest.mark.parametrize("identity", [ADA, Identity()])
async def test_meta_belongs_to_what_an_idempotency_key_stands_for(
    worker: ChatWorker, room: str, identity: Identity
) -> None:
    ada = worker.connect(identity=identity)
    await ada.join(room, "Ada")
    first = await ada.send(room, "hello", idempotency_key="k", meta={"a": 1, "b": {"c": 1, "d": 2}})
    turned = {"b": {"d": 2, "c": 1}, "a": 1}
    assert await ada.send(room, "hello", idempotency_key="k", meta=turned) == first
    others: list[dict[str, Any]] = [{"meta": {"a": 2}}, {}, {"meta": {}}]
    for other in others:
        refused = await ada.send(room, "hello", idempotency_key="k", **other)
        assert (refused["code"], refused.get("reason")) == ("bad_request", "key_reused"), other
    assert len(await received(ada)) == 1


async def test_who_is_on_the_way_back_says_both(worker: ChatWorker, room: str) -> None:
    ada, ben = worker.connect(identity=ADA), worker.connect()
    await ada.join(room, "Ada")
    await ben.join(room, "ben")
    ada.close()
    back = worker.connect(identity=ADA)
    assert (await back.send(room, "kept", username="Ada", meta={"n": 1}))["ok"]
    (live,) = await received(ben)
    assert (live["user"], live["meta"]) == ("42", {"n": 1})
