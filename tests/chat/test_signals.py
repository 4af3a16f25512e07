"""Signals: who gets them, who may send them, what drops them, and what they leave behind: nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import redis.asyncio as redis

from gateway.access.connection_limits import ConnectionLimits
from gateway.access.identity import Identity
from gateway.access.room_rules import RoomRule, RoomRules
from gateway.chat.room_sizes import HOLDS_S, ROOMS_MAX, RoomSizes
from gateway.limit_options import LimitOptions
from gateway.metrics import rate_limited, signals
from tests.support.chat_worker import ChatWorker, chat_worker
from tests.support.servers import Valkey
from tests.support.waiting import until

ADA = Identity(user="42", name="Ada")


def counted(result: str) -> Callable[[], int]:
    """How many signals have met this result since now."""
    begun = signals._by_reason[result]
    return lambda: signals._by_reason[result] - begun


async def test_all_others_in_the_room_are_told_and_the_sender_is_not(worker: ChatWorker, room: str) -> None:
    ada, tab, ben = worker.connect(identity=ADA), worker.connect(identity=ADA), worker.connect()
    for client, name in ((ada, "Ada"), (tab, "Ada"), (ben, "ben")):
        await client.join(room, name)
    assert await ada.call("signal", {"room": room, "kind": "typing", "data": {"to": [1]}}) == {"ok": True}
    await ben.emit("signal", {"room": room, "kind": "typing"})
    by_ada = {"room": room, "kind": "typing", "username": "Ada", "user": "42", "data": {"to": [1]}}
    by_ben = {"room": room, "kind": "typing", "username": "ben"}
    await until(lambda: len(tab.events("signal")) == 2, what="another tab of the sender is told, too")
    assert tab.events("signal") == [by_ada, by_ben]
    assert (ada.events("signal"), ben.events("signal")) == ([by_ben], [by_ada])
    assert ben.events("error") == []


@pytest.mark.parametrize("route", ["per-room", "shared"])
async def test_workers_tell_each_other(redis_url: str, room: str, route: str) -> None:
    async with chat_worker(redis_url, route=route) as one, chat_worker(redis_url, route=route) as two:
        ann, ben = one.connect(), two.connect()
        await ann.join(room)
        await ben.join(room, "ben")
        await ann.emit("signal", {"room": room, "kind": "typing"})
        await until(lambda: ben.events("signal"), what="the signal")


async def test_it_takes_membership_and_the_right(redis_url: str, room: str) -> None:
    rules = RoomRules([RoomRule(match="**", join="anyone", signals=False)])
    async with chat_worker(redis_url, rules=rules) as worker:
        ann = worker.connect()
        assert (await ann.call("signal", {"room": room, "kind": "k"}))["code"] == "not_joined"
        await ann.join(room)
        refused = await ann.call("signal", {"room": room, "kind": "k"})
        assert (refused["code"], refused["operation"]) == ("forbidden", "signal")


async def test_what_comes_too_fast_is_dropped_and_counted_without_an_error(redis_url: str, room: str) -> None:
    limits = ConnectionLimits(LimitOptions(), 100)
    async with chat_worker(redis_url, limits=limits) as worker:
        ann, ben = worker.connect(), worker.connect()
        await ann.join(room)
        await ben.join(room, "ben")
        before, dropped = rate_limited._by_reason["signals"], counted("rate_limited")
        answers = [await ann.call("signal", {"room": room, "kind": str(number)}) for number in range(15)]
        assert answers == [{"ok": True}] * 10 + [{"ok": True, "dropped": "rate_limited"}] * 5
        assert (dropped(), rate_limited._by_reason["signals"] - before) == (5, 5)
        await ben.send(room, "behind them")
        await until(lambda: ben.messages() == ["behind them"], what="the message")
        assert [data["kind"] for data in ben.events("signal")] == [str(number) for number in range(10)]
        assert (ann.events("error"), ann.recorder.refusals_charged) == ([], 0)


async def test_signals_count_among_all_events(redis_url: str, room: str) -> None:
    limits = ConnectionLimits(LimitOptions(events_burst=1, events_per_s=0.001, signals_per_s=0), 2)
    async with chat_worker(redis_url, limits=limits) as worker:
        ann = worker.connect()
        await ann.join(room)
        answers = [await ann.call("signal", {"room": room, "kind": "k"}) for _ in range(5)]
        assert [answer.get("dropped") for answer in answers] == [None] * 3 + ["rate_limited"] * 2
        assert (await ann.call("leave", {"room": room}))["code"] == "rate_limited"


async def test_rooms_over_the_limit_of_notices_are_not_told(worker: ChatWorker, room: str) -> None:
    """The test's worker announces in rooms of up to three."""
    clients = [worker.connect() for _ in range(4)]
    for number, client in enumerate(clients):
        await client.join(room, f"user-{number}")
    dropped = counted("too_many_users")
    answer = await clients[0].call("signal", {"room": room, "kind": "typing"})
    assert (answer, dropped()) == ({"ok": True, "dropped": "too_many_users"}, 1)
    await clients[0].send(room, "behind it")
    await until(lambda: clients[1].messages() == ["behind it"], what="the message")
    assert clients[1].events("signal") == []


@pytest.mark.system
async def test_without_redis_it_is_dropped_and_counted(server: Valkey, room: str) -> None:
    async with chat_worker(server.url) as worker:
        ann, known = worker.connect(), f"{room}-known"
        await ann.join(room)
        await ann.join(known)
        assert await ann.call("signal", {"room": known, "kind": "k"}) == {"ok": True}
        server.kill()
        await until(lambda: not worker.store.is_up, what="it is noticed")
        dropped = counted("unavailable")
        answers = [await ann.call("signal", {"room": name, "kind": "k"}) for name in (room, known)]
        assert answers == [{"ok": True, "dropped": "unavailable"}] * 2
        assert (dropped(), ann.events("error")) == (2, [])


async def test_who_was_taken_out_while_its_signal_waited_says_nothing(worker: ChatWorker, room: str) -> None:
    ann, ben = worker.connect(), worker.connect()
    await ann.join(room)
    await ben.join(room, "ben")
    waits = ann.session.on_event("signal", [{"room": room, "kind": "k"}], None)
    assert waits is not None, "nobody has counted yet"
    taken_out = worker.chat.take_out(ann.sid, room)
    await asyncio.gather(taken_out, waits)
    await ben.send(room, "behind it")
    await until(lambda: ben.messages() == ["behind it"], what="the message")
    assert ben.events("signal") == []


WRITES = {"set", "hset", "hincrby", "hdel", "del", "expire", "rpush", "lpop", "ltrim", "zadd", "sadd"}


@pytest.mark.system
async def test_a_signal_is_one_publish_and_no_other_write(server: Valkey, room: str) -> None:
    """1,000 signals in a room of 20, counted by Redis itself."""
    client = redis.Redis.from_url(server.url)
    async with chat_worker(server.url, notices_users_max=20) as worker:
        members = [worker.connect() for _ in range(20)]
        for number, member in enumerate(members):
            await member.join(room, f"user-{number}")
        before = sorted(await client.keys("*"))
        await client.config_resetstat()
        for number in range(1000):
            await members[number % 20].emit("signal", {"room": room, "kind": "typing"})
        await until(lambda: all(len(one.events("signal")) == 950 for one in members), what="all of them")
        commands = await client.info("commandstats")
        assert 1000 <= commands["cmdstat_publish"]["calls"] <= 1020, "probes of the worker are publishes, too"
        assert [name for name in commands if name.removeprefix("cmdstat_") in WRITES] == []
        assert commands["cmdstat_hlen"]["calls"] <= 1 + 60 / HOLDS_S
        assert sorted(await client.keys("*")) == before
    await client.aclose()


class Counting:
    """A tracker that counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def members(self, room: str, most: int) -> tuple[list[str], int]:
        self.asked.append(room)
        return [], len(room)


async def test_a_room_is_counted_once_in_a_while_and_many_rooms_are_bounded() -> None:
    tracker: Any = Counting()
    now_s = 0.0
    sizes = RoomSizes(tracker, lambda: now_s)
    assert [await sizes.count("tea") for _ in range(3)] == [3, 3, 3]
    assert (tracker.asked, sizes.known("tea"), sizes.known("other")) == (["tea"], 3, None)
    now_s += HOLDS_S
    assert sizes.known("tea") is None
    await sizes.count("tea")
    assert tracker.asked == ["tea", "tea"]
    for number in range(ROOMS_MAX + 10):
        await sizes.count(f"room-{number}")
    assert len(sizes._counted) == ROOMS_MAX
    assert sizes.known("tea") is None
