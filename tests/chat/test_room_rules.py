"""Rooms with rules: who is let in, who may send, what is kept and shown, and how fast people may speak."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway import keys
from gateway.access.identity import Identity
from gateway.access.permissions import HookAway
from gateway.access.rights import JOIN, SEND
from gateway.access.room_rules import RoomRule, RoomRules
from gateway.protocol import Position
from tests.support.chat_worker import ChatWorker, chat_worker, tokens_count
from tests.support.waiting import until


def user(name: str, *granted: str) -> Identity:
    """A user whose token grants this in all rooms."""
    return Identity(user=name, grants={"**": frozenset(granted)})


@asynccontextmanager
async def ruled(redis_url: str, path: str = "gw.toml", **rule: Any) -> AsyncIterator[ChatWorker]:
    """A worker with one rule for all rooms."""
    rules = RoomRules([RoomRule(match="**", **{"join": "anyone", **rule})], path)
    async with chat_worker(redis_url, timeout_s=10.0, rules=rules) as worker:
        yield worker


async def test_who_may_not_join_is_told_the_same_of_every_room(redis_url: str, room: str) -> None:
    async with chat_worker(redis_url, timeout_s=10.0) as open_to_all:
        await open_to_all.connect().join(room, "somebody")
        async with ruled(redis_url, join="granted") as worker:
            eve = worker.connect(identity=user("eve"))
            answers = [await eve.join(name, "eve") for name in (room, f"{room}-that-nobody-made")]
            assert answers[0] == answers[1]
            assert (answers[0]["code"], answers[0]["retryable"], answers[0]["operation"]) == (
                "forbidden",
                False,
                "join",
            )
            assert (eve.events("error")[0]["room"], eve.messages()) == (room, [])
            assert [(await eve.send(name, "x"))["code"] for name in (room, f"{room}-2")] == ["not_joined"] * 2
            assert await worker.users(room) == ["somebody"]
            ann = worker.connect(identity=user("ann", "join"))
            assert (await ann.join(room))["ok"]


async def test_who_may_only_read_is_forbidden_to_send(redis_url: str, room: str) -> None:
    async with ruled(redis_url, send="granted") as worker:
        guest, ann = worker.connect(), worker.connect(identity=user("a", "send"))
        assert (await guest.join(room, "guest"))["ok"]
        assert (await ann.join(room))["ok"]
        refused = await guest.send(room, "x", idempotency_key="k")
        assert (refused["code"], refused["operation"]) == ("forbidden", "send")
        assert guest.events("error")[0]["idempotency_key"] == "k"
        await ann.send(room, "hello")
        await until(lambda: guest.messages() == ["hello"], what="reading is allowed")
        assert (await guest.call("history", {"room": room}))["ok"]


@pytest.mark.parametrize(("send", "code"), [("granted", "forbidden"), ("members", None)])
async def test_who_is_on_the_way_back_may_send_what_a_member_may(
    redis_url: str, room: str, send: str, code: str | None
) -> None:
    async with ruled(redis_url, send=send) as worker:
        ann = worker.connect()
        await ann.join(room)
        ann.close()
        answer = await worker.connect().send(room, "kept", username="ann")
        assert answer.get("code") == code


async def test_a_join_again_decides_again(redis_url: str, room: str) -> None:
    async with ruled(redis_url, join="granted", send="granted") as worker:
        ann = worker.connect(identity=user("a", "join", "send"))
        await ann.join(room)
        ann.session.identity = user("a", "join")
        assert (await ann.send(room, "still by the bits of the join"))["ok"]
        assert (await ann.join(room))["ok"]
        assert (await ann.send(room, "x"))["code"] == "forbidden"
        ann.session.identity = user("a")
        assert (await ann.join(room))["code"] == "forbidden"
        assert (await ann.send(room, "x"))["code"] == "not_joined", "it is out"
        assert await worker.users(room) == []


async def test_a_send_looks_at_the_bits_of_the_join_alone(redis_url: str, room: str) -> None:
    async with ruled(redis_url) as worker:
        ann = worker.connect()
        await ann.join(room)
        assert ann.session.rooms[room].rights & SEND
        ann.session.rooms[room].rights &= ~SEND
        assert (await ann.send(room, "x"))["operation"] == "send"


class Away:
    """A hook that does not answer, until it does."""

    def __init__(self) -> None:
        self.rights: int | None = None

    async def allowed(self, identity: Identity, room: str) -> int:
        if self.rights is None:
            raise HookAway("no answer")
        return self.rights

    async def close(self) -> None:
        """Nothing is open."""


async def test_while_the_hook_is_away_nobody_is_let_in_and_may_try_again(redis_url: str, room: str) -> None:
    hook, rules = Away(), RoomRules([RoomRule(match="**", join="hook", send="hook")])
    async with chat_worker(redis_url, timeout_s=10.0, rules=rules, hook=hook) as worker:
        ann = worker.connect()
        refused = await ann.join(room)
        assert (refused["code"], refused["retryable"]) == ("unavailable", True)
        assert ann.recorder.refusals_charged == 0, "that is not its fault"
        hook.rights = 0
        assert (await ann.join(room))["code"] == "forbidden"
        hook.rights = JOIN
        assert (await ann.join(room))["ok"]
        assert (await ann.send(room, "x"))["operation"] == "send"
        hook.rights = JOIN | SEND
        assert (await ann.join(room))["ok"]
        assert (await ann.send(room, "x"))["ok"]


# -- who is there


@pytest.mark.parametrize(
    ("members", "answer"),
    [
        ("list", {"ok": True, "members": ["ann"], "count": 1}),
        ("count", {"ok": True, "members": [], "count": 1}),
    ],
)
async def test_a_rule_says_what_is_told_of_who_is_there(
    redis_url: str, room: str, members: str, answer: dict[str, Any]
) -> None:
    async with ruled(redis_url, members=members) as worker:
        ann = worker.connect()
        assert (await ann.join(room))["count"] == 1
        assert await ann.call("members", {"room": room}) == answer


async def test_where_names_are_not_told_users_are_not_either(redis_url: str, room: str) -> None:
    rules, identities = RoomRules([RoomRule(match="**", join="anyone", members="count")]), tokens_count()
    async with chat_worker(redis_url, timeout_s=10.0, rules=rules, identities=identities) as worker:
        ann = worker.connect(identity=user("7"))
        await ann.join(room)
        assert await ann.call("members", {"room": room}) == {"ok": True, "members": [], "count": 1}


async def test_where_it_is_not_told_who_is_there_not_even_their_number_is(redis_url: str, room: str) -> None:
    async with ruled(redis_url, members="off") as worker:
        ann = worker.connect()
        assert (await ann.join(room))["count"] == 0
        refused = await ann.call("members", {"room": room})
        assert (refused["code"], refused["operation"]) == ("forbidden", "members")


@pytest.mark.parametrize("rule", [{"notices": False}, {"members": "count"}, {"members": "off"}])
async def test_nobody_is_announced_where_the_rule_says_so(
    redis_url: str, room: str, rule: dict[str, Any]
) -> None:
    async with ruled(redis_url, **rule) as worker:
        ann, ben = worker.connect(), worker.connect()
        await ann.join(room)
        await ben.join(room, "ben")
        await ben.call("leave", {"room": room})
        await ann.send(room, "behind the notices")
        await until(lambda: ann.messages() == ["behind the notices"], what="the message")
        assert ann.notices() == []


async def test_a_full_room_takes_those_who_are_in_it_and_moderators(redis_url: str, room: str) -> None:
    async with ruled(redis_url, members_max=2) as worker:
        ann, ben, cleo = worker.connect(), worker.connect(), worker.connect()
        assert (await ann.join(room))["ok"]
        assert (await ben.join(room, "ben"))["ok"]
        refused = await cleo.join(room, "cleo")
        assert (refused["code"], refused["retryable"]) == ("room_full", True)
        assert (await cleo.send(room, "x"))["code"] == "not_joined"
        assert (cleo.sid in worker.hub.rooms[room].members, cleo.messages()) == (False, [])
        assert (await worker.connect().join(room, "ben"))["ok"], "another tab"
        assert (await ann.join(room))["ok"], "again"
        mod = worker.connect(identity=user("m", "moderate"))
        assert (await mod.join(room, "mod"))["ok"]
        await mod.call("leave", {"room": room})
        await ben.call("leave", {"room": room})
        assert await worker.users(room) == ["ann", "ben"], "the other tab is still there"
        await ann.call("leave", {"room": room})
        assert (await cleo.join(room, "cleo"))["ok"]


async def test_who_dropped_keeps_the_place_for_the_grace_period(redis_url: str, room: str) -> None:
    async with ruled(redis_url, members_max=1) as worker:
        ann = worker.connect()
        await ann.join(room)
        ann.close()
        assert (await worker.connect().join(room, "ben"))["code"] == "room_full"
        assert (await worker.connect().join(room))["ok"]


# -- what is kept


async def test_a_room_that_keeps_nothing_goes_on_counting(redis_url: str, room: str) -> None:
    async with ruled(redis_url, history=0) as worker:
        ann, ben = worker.connect(), worker.connect()
        await ann.join(room)
        await ben.join(room, "ben")
        ids = [(await ann.send(room, f"m{number}"))["id"] for number in range(3)]
        assert [Position.parse(one).seq for one in ids] == [1, 2, 3]
        await until(lambda: ben.messages() == ["m0", "m1", "m2"], what="members get all")
        assert await worker.store.call(keys.history(room), "LLEN", keys.history(room)) == 0
        late = worker.connect()
        answer = await late.join(room, "late")
        assert (answer["id"], late.messages()) == (ids[2], [])
        assert (await late.join(room, "late", since=ids[2]))["recovered"] is True
        assert (await late.join(room, "late", since=ids[1]))["recovered"] is False
        assert (await late.call("history", {"room": room}))["messages"] == []
        again = await ann.send(room, "once", idempotency_key="k")
        assert await ann.send(room, "once", idempotency_key="k") == again


async def test_a_hole_in_a_room_that_keeps_nothing_is_told_as_a_gap(redis_url: str, room: str) -> None:
    async with ruled(redis_url, history=0) as worker:
        ann = worker.connect()
        await ann.join(room)
        first = await ann.send(room, "m1")
        await until(lambda: ann.messages() == ["m1"], what="the first")
        await worker.store.call(keys.meta(room), "HSET", keys.meta(room), "seq", 7)
        await ann.send(room, "m8")
        await until(lambda: ann.events("error"), what="it is told")
        assert [(error["code"], error["id"]) for error in ann.events("error")] == [("gap", first["id"])]
        await ann.send(room, "m9")
        await until(lambda: ann.messages()[-1] == "m9", what="it goes on")


async def test_so_many_are_kept_and_shown_as_the_rule_says(redis_url: str, room: str) -> None:
    async with ruled(redis_url, path="") as as_before, ruled(redis_url, history=2) as worker:
        ann = as_before.connect()
        await ann.join(room)
        ids = [(await ann.send(room, f"m{number}"))["id"] for number in range(5)]
        ben = worker.connect()
        assert (await ben.join(room, "ben"))["id"] == ids[4]
        assert ben.messages() == ["m3", "m4"], "though five are stored"
        assert (await ben.join(room, "ben", since=ids[2]))["recovered"] is True
        assert (await ben.join(room, "ben", since=ids[1]))["recovered"] is False
        assert ben.messages()[2:] == ["m3", "m4", "m3", "m4"]
        page = await ben.call("history", {"room": room})
        assert [message["id"] for message in page["messages"]] == ids[3:]
        await ben.send(room, "m5")
        assert await worker.store.call(keys.history(room), "LLEN", keys.history(room)) == 2


async def test_a_room_is_kept_for_as_long_as_the_rule_says(redis_url: str, room: str) -> None:
    async with ruled(redis_url, history_days=90) as longer, ruled(redis_url, history_days=0.5) as shorter:
        for worker, history_days, position_days in ((longer, 90, 90), (shorter, 0.5, 60)):
            ann, name = worker.connect(), f"{room}-{history_days}"
            await ann.join(name)
            await ann.send(name, "x")
            await ann.join(name)
            for key, days in ((keys.history(name), history_days), (keys.meta(name), position_days)):
                left_s = await worker.store.call(key, "TTL", key)
                assert days * 86_400 - 60 <= left_s <= days * 86_400, key


# -- slow mode


async def test_slow_mode_says_how_long_to_wait_and_then_takes_it(redis_url: str, room: str) -> None:
    async with ruled(redis_url, slow_s=0.5) as worker:
        ann, ben = worker.connect(), worker.connect()
        await ann.join(room)
        await ben.join(room, "ben")
        assert (await ann.send(room, "one"))["ok"]
        refused = await ann.send(room, "two", idempotency_key="k2")
        assert (refused["code"], refused["retryable"]) == ("rate_limited", True)
        assert 0 < refused["retry_after_ms"] <= 500
        assert ann.events("error")[0]["idempotency_key"] == "k2"
        assert (await ben.send(room, "another's"))["ok"], "each user has a time of its own"
        await asyncio.sleep(refused["retry_after_ms"] / 1000)
        assert (await ann.send(room, "two", idempotency_key="k2"))["ok"]
        await until(lambda: ben.messages() == ["one", "another's", "two"], what="the room has them")


async def test_the_time_that_is_told_is_the_time_it_takes(redis_url: str, room: str) -> None:
    async with ruled(redis_url, slow_s=0.05) as worker:
        ann = worker.connect()
        await ann.join(room)
        for number in range(20):
            assert (await ann.send(room, f"m{number}"))["ok"]
            left_ms = (await ann.send(room, "too soon")).get("retry_after_ms", 0)
            await asyncio.sleep((left_ms + 1) / 1000)


async def test_a_user_is_slow_over_all_workers_and_names(redis_url: str, room: str) -> None:
    async with ruled(redis_url, slow_s=60) as one, ruled(redis_url, slow_s=60) as two:
        clients = [
            one.connect(identity=user("7")), two.connect(identity=user("7")), one.connect(), two.connect(),
        ]  # fmt: skip
        for client, name in zip(clients, ("ann", "other name", "7", "7"), strict=True):
            assert (await client.join(room, name))["ok"]
        answers = [await client.send(room, "x") for client in clients]
        assert [answer.get("code") for answer in answers] == [None, "rate_limited", None, "rate_limited"]


async def test_what_is_sent_again_under_its_key_is_not_too_soon(redis_url: str, room: str) -> None:
    async with ruled(redis_url, slow_s=60) as worker:
        ann = worker.connect()
        await ann.join(room)
        first = await ann.send(room, "once", idempotency_key="k")
        assert await ann.send(room, "once", idempotency_key="k") == first
        assert (await ann.send(room, "twice", idempotency_key="l"))["code"] == "rate_limited"


async def test_what_the_store_refused_costs_no_time(redis_url: str, room: str) -> None:
    async with ruled(redis_url, slow_s=60) as worker:
        ann = worker.connect()
        await ann.join(room)
        history = keys.history(room)
        await worker.store.call(history, "SET", history, "no list")
        assert (await ann.send(room, "x"))["code"] == "internal"
        await worker.store.call(history, "DEL", history)
        assert (await ann.send(room, "x"))["ok"]


async def test_moderators_are_not_slowed(redis_url: str, room: str) -> None:
    async with ruled(redis_url, slow_s=60) as worker:
        mod = worker.connect(identity=user("m", "moderate"))
        await mod.join(room, "mod")
        assert [(await mod.send(room, text))["ok"] for text in ("a", "b")] == [True, True]


async def test_who_is_on_the_way_back_is_slowed_too(redis_url: str, room: str) -> None:
    async with ruled(redis_url, slow_s=60) as worker:
        ann = worker.connect()
        await ann.join(room)
        await ann.send(room, "x")
        ann.close()
        assert (await worker.connect().send(room, "y", username="ann"))["code"] == "rate_limited"


async def test_slow_mode_leaves_nothing_behind_but_its_time(redis_url: str, room: str) -> None:
    async with ruled(redis_url, slow_s=0.1) as worker:
        ann = worker.connect(identity=user("7"))
        await ann.join(room)
        begun_s = time.monotonic()
        await ann.send(room, "x")
        key = keys.slow(room, "7", "ann")
        assert 0 < await worker.store.call(key, "PTTL", key) <= 100

        async def is_gone() -> bool:
            return bool(await worker.store.call(key, "EXISTS", key) == 0)

        await until(is_gone, what="the key is gone")
        assert time.monotonic() - begun_s >= 0.099
