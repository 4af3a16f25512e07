"""`read` and `unread`: who may, what is answered, and who else is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway import keys
from gateway.access.connection_limits import ConnectionLimits
from gateway.access.identity import Identity
from gateway.access.permissions import HookAway
from gateway.access.rights import JOIN
from gateway.access.room_rules import RoomRule, RoomRules
from gateway.limit_options import LimitOptions
from gateway.state.read_marks import USERS_MAX
from tests.support.chat_worker import ChatWorker, Client, chat_worker
from tests.support.servers import Valkey
from tests.support.waiting import until

ADA, BEN = Identity(user="42", name="Ada"), Identity(user="7")


async def said(client: Client, room: str, number: int) -> list[str]:
    """So many messages; their positions."""
    return [(await client.send(room, f"m{one}"))["id"] for one in range(number)]


async def test_a_user_marks_and_asks_on_any_connection_and_in_no_room(worker: ChatWorker, room: str) -> None:
    ann = worker.connect()
    await ann.join(room)
    ids = await said(ann, room, 5)
    ada, phone = worker.connect(identity=ADA), worker.connect(identity=ADA)
    before = await ada.call("unread", {"rooms": [room]})
    assert before == {"ok": True, "rooms": {room: {"id": ids[4], "read": None, "unread": 5}}}
    assert await ada.call("read", {"room": room, "id": ids[2]}) == {"ok": True, "unread": 2}
    after = await phone.call("unread", {"rooms": [room]})
    assert after["rooms"] == {room: {"id": ids[4], "read": ids[2], "unread": 2}}
    assert await phone.call("read", {"room": room, "id": ids[0]}) == {"ok": True, "unread": 2}
    assert await worker.users(room) == ["ann"], "nobody joined by that"


async def test_a_guest_has_no_marks_but_sees_where_rooms_are(worker: ChatWorker, room: str) -> None:
    ann = worker.connect()
    await ann.join(room)
    (last,) = await said(ann, room, 1)
    refused = await ann.call("read", {"room": room, "id": last})
    assert (refused["code"], refused["retryable"]) == ("unauthorized", False)
    answer = await ann.call("unread", {"rooms": [room, f"{room}-none"]})
    assert answer["rooms"] == {
        room: {"id": last, "read": None, "unread": None},
        f"{room}-none": {"id": None, "read": None, "unread": None},
    }


async def test_who_may_not_join_learns_nothing_and_the_other_rooms_are_told(
    redis_url: str, room: str
) -> None:
    rules = RoomRules([RoomRule(match="open:*", join="anyone"), RoomRule(match="**", join="granted")])
    async with chat_worker(redis_url, rules=rules, timeout_s=10.0) as worker:
        ada = worker.connect(identity=ADA)
        opened, closed = f"open:{room}", [room, f"{room}-that-nobody-made"]
        await worker.store.call(keys.meta(room), "HSET", keys.meta(room), "epoch", "e", "seq", 9)
        answer = await ada.call("unread", {"rooms": [*closed, opened]})
        assert [answer["rooms"][name] for name in closed] == [{"code": "forbidden"}] * 2
        assert answer["rooms"][opened] == {"id": None, "read": None, "unread": 0}
        answers = [await ada.call("read", {"room": name, "id": "e:1"}) for name in closed]
        assert [(one["code"], one["operation"]) for one in answers] == [("forbidden", "join")] * 2
        assert not await worker.store.call(keys.read(room), "EXISTS", keys.read(room))
        await worker.store.call(keys.meta(room), "DEL", keys.meta(room))


class Slow:
    """A hook that notes how many ask at once."""

    def __init__(self) -> None:
        self.asking = self.most = 0
        self.is_away = False

    async def allowed(self, identity: Identity, room: str) -> int:
        if self.is_away:
            raise HookAway
        self.asking += 1
        self.most = max(self.most, self.asking)
        await asyncio.sleep(0.001)
        self.asking -= 1
        return JOIN

    async def close(self) -> None:
        """Nothing is open."""


async def test_the_application_is_asked_about_a_few_rooms_at_a_time(redis_url: str, room: str) -> None:
    hook, rules = Slow(), RoomRules([RoomRule(match="**", join="hook")])
    async with chat_worker(redis_url, rules=rules, hook=hook, timeout_s=10.0) as worker:
        ada, rooms = worker.connect(identity=ADA), [f"{room}-{number}" for number in range(200)]
        answer = await ada.call("unread", {"rooms": rooms})
        assert list(answer["rooms"].values()) == [{"id": None, "read": None, "unread": 0}] * 200
        assert hook.most == 10
        hook.is_away = True
        answer = await ada.call("unread", {"rooms": rooms[:2]})
        assert list(answer["rooms"].values()) == [{"code": "unavailable"}] * 2
        assert (await ada.call("read", {"room": room, "id": "e:1"}))["code"] == "unavailable"


async def test_the_application_is_not_asked_more_often_than_by_joins(redis_url: str, room: str) -> None:
    hook, rules = Slow(), RoomRules([RoomRule(match="**", join="hook")])
    limits = ConnectionLimits(LimitOptions(joins_per_s=0.001), 30)
    async with chat_worker(redis_url, rules=rules, hook=hook, limits=limits, timeout_s=10.0) as worker:
        ada, rooms = worker.connect(identity=ADA), [f"{room}-{number}" for number in range(40)]
        answer = await ada.call("unread", {"rooms": rooms})
        codes = [found.get("code") for found in answer["rooms"].values()]
        assert sorted(codes, key=str) == [None] * codes.count(None) + ["rate_limited"] * (
            40 - codes.count(None)
        )
        assert 30 <= codes.count(None) <= 31
        assert (answer["ok"], ada.events("error")) == (True, [])


@pytest.mark.system
async def test_without_redis_both_are_unavailable(server: Valkey, room: str) -> None:
    async with chat_worker(server.url) as worker:
        ada = worker.connect(identity=ADA)
        await ada.join(room, "Ada")
        server.kill()
        answers = [
            await ada.call("read", {"room": room, "id": "e:1"}),
            await ada.call("unread", {"rooms": [room]}),
        ]
        assert [(one["code"], one["retryable"]) for one in answers] == [("unavailable", True)] * 2
        assert ada.recorder.refusals_charged == 0


async def test_each_has_a_limit_of_its_own(redis_url: str, room: str) -> None:
    async with chat_worker(redis_url, limits=ConnectionLimits(LimitOptions(), 100), timeout_s=10.0) as worker:
        ada = worker.connect(identity=ADA)
        reads = [await ada.call("read", {"room": room, "id": "e:1"}) for _ in range(21)]
        asked = [await ada.call("unread", {"rooms": [room]}) for _ in range(21)]
        for answers in (reads, asked):
            assert [one.get("code") for one in answers] == [None] * 20 + ["rate_limited"]
            assert answers[20]["retry_after_ms"] > 0


async def test_a_room_with_as_many_marks_as_may_be_says_that_it_keeps_none(
    worker: ChatWorker, room: str
) -> None:
    ann = worker.connect()
    await ann.join(room)
    ids = await said(ann, room, 3)
    key = keys.read(room)
    await worker.store.call(key, "HSET", key, *(word for n in range(USERS_MAX) for word in (f"u{n}", "e:1")))
    ada = worker.connect(identity=ADA)
    assert await ada.call("read", {"room": room, "id": ids[0]}) == {"ok": True, "unread": 2, "kept": False}
    answer = await ada.call("unread", {"rooms": [room]})
    assert answer["rooms"][room] == {"id": ids[2], "read": None, "unread": None}
    await worker.store.call(key, "DEL", key)


# -- receipts


def receipts(**more: Any) -> RoomRules:
    return RoomRules([RoomRule(match="**", join="anyone", receipts=True, **more)])


async def test_a_small_room_is_told_what_was_read_where_its_rule_says_so(redis_url: str, room: str) -> None:
    async with chat_worker(redis_url, rules=receipts(), timeout_s=10.0) as worker:
        ada, tab, ben = (worker.connect(identity=who) for who in (ADA, ADA, BEN))
        for client, name in ((ada, "Ada"), (tab, "Ada"), (ben, "Ben")):
            await client.join(room, name)
        ids = await said(ben, room, 3)
        await ada.call("read", {"room": room, "id": ids[1]})
        await ada.call("read", {"room": room, "id": ids[0]})  # behind: nobody is told
        await worker.connect(identity=BEN).call("read", {"room": room, "id": ids[2]})
        by_ada = {"room": room, "user": "42", "username": "Ada", "id": ids[1]}
        by_ben = {"room": room, "user": "7", "id": ids[2]}
        await until(lambda: len(tab.events("read")) == 2, what="both are told")
        assert tab.events("read") == ben.events("read") == [by_ada, by_ben]
        assert ada.events("read") == [by_ben], "who reads knows it"


@pytest.mark.parametrize("users", [50, 51])
async def test_a_room_of_more_than_fifty_is_not(redis_url: str, room: str, users: int) -> None:
    async with chat_worker(redis_url, rules=receipts(), timeout_s=10.0) as worker:
        key = keys.users(room)
        await worker.store.call(key, "HSET", key, *(w for n in range(users - 2) for w in (f"u{n}", "1")))
        await worker.store.call(key, "EXPIRE", key, 60)
        ada, ben = worker.connect(identity=ADA), worker.connect(identity=BEN)
        await ada.join(room, "Ada")
        await ben.join(room, "Ben")
        (last,) = await said(ben, room, 1)
        await ada.call("read", {"room": room, "id": last})
        await ben.send(room, "behind it")
        await until(lambda: len(ben.messages()) == 2, what="the message")
        assert len(ben.events("read")) == (users == 50)


async def test_without_the_rule_nobody_is_told(worker: ChatWorker, room: str) -> None:
    ada, ben = worker.connect(identity=ADA), worker.connect(identity=BEN)
    await ada.join(room, "Ada")
    await ben.join(room, "Ben")
    (last,) = await said(ben, room, 1)
    await ada.call("read", {"room": room, "id": last})
    await ben.send(room, "behind it")
    await until(lambda: len(ben.messages()) == 2, what="the message")
    assert ben.events("read") == []
