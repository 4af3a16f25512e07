"""Which workers live: by changes of their heartbeats, seen by one observer."""

from __future__ import annotations

import redis.asyncio as redis

from gateway import keys
from gateway.redis.commands import PrimaryCommands
from gateway.state.liveness import LOOKS_PER_DEATH, Liveness, departure
from gateway.state.workers import DeadWorker, Workers

DEAD_S = 15.0
AN_HOUR_S = 3600.0


async def store_time_s(client: redis.Redis) -> float:
    seconds, microseconds = await client.time()
    return float(seconds) + float(microseconds) / 1e6


def watched(
    liveness: Liveness, stamps: dict[str, float], from_s: int, to_s: int, step_s: int = 3
) -> list[str]:
    """Looks at the same heartbeats every three seconds; returns who is dead at the end."""
    dead: list[str] = []
    for now_s in range(from_s, to_s + 1, step_s):
        dead = liveness.look(stamps, float(now_s))
    return dead


def test_a_worker_whose_heartbeat_does_not_change_is_dead_after_a_while() -> None:
    liveness = Liveness(DEAD_S)
    assert watched(liveness, {"w1": 100.0}, 0, 12) == []
    assert watched(liveness, {"w1": 100.0}, 15, 15) == ["w1"]
    assert watched(liveness, {"w1": 101.0}, 18, 18) == [], "it lives after all"


def test_the_age_that_a_heartbeat_shows_says_nothing() -> None:
    """The clock of the store was set, or the store was away for an hour."""
    liveness = Liveness(DEAD_S)
    for now_s in range(0, 60, 3):
        ahead_s = AN_HOUR_S if now_s % 2 else -AN_HOUR_S
        assert liveness.look({"w1": now_s + ahead_s}, float(now_s)) == []


def test_a_long_time_without_a_look_counts_as_a_short_one() -> None:
    """The store was away, or full: nobody could beat."""
    liveness = Liveness(DEAD_S)
    assert watched(liveness, {"w1": 1.0}, 0, 3) == []
    assert watched(liveness, {"w1": 1.0}, 1000, 1003) == []
    assert 3 + DEAD_S / LOOKS_PER_DEATH + 3 < DEAD_S, "what it has been seen unchanged for by now"
    assert watched(liveness, {"w1": 1.0}, 1006, 1006) == []
    assert watched(liveness, {"w1": 1.0}, 1009, 1012) == ["w1"]


def test_one_who_departed_is_dead_when_it_said_or_sooner() -> None:
    liveness = Liveness(DEAD_S)
    stamps = {"at once": departure(0.0), "soon": departure(6.0), "late": departure(60.0)}
    assert watched(liveness, stamps, 0, 3) == ["at once"]
    assert watched(liveness, stamps, 6, 6) == ["at once", "soon"]
    assert watched(liveness, stamps, 9, 15) == ["at once", "soon", "late"]


def test_only_who_is_there_is_remembered() -> None:
    liveness = Liveness(DEAD_S)
    watched(liveness, {"w1": 1.0}, 0, 12)
    assert liveness.look({}, 13.0) == []
    assert liveness.look({"w1": 1.0}, 16.0) == []


async def test_a_heartbeat_bears_the_stores_time(
    store: PrimaryCommands, client: redis.Redis, room: str
) -> None:
    here = Workers(store, f"here-{room}", DEAD_S)
    before_s = await store_time_s(client)
    await here.beat()
    at_s = await client.zscore(keys.WORKERS, here.worker)
    assert at_s is not None
    assert before_s <= at_s <= await store_time_s(client)
    assert DeadWorker(here.worker) not in await here.dead()


async def test_a_worker_learns_that_it_was_taken_for_dead(store: PrimaryCommands, room: str) -> None:
    here, other = Workers(store, f"here-{room}", DEAD_S), Workers(store, f"other-{room}", DEAD_S)
    assert (await here.beat()).is_new is True
    assert (await here.beat()).is_new is False
    await here.enter([room])
    await other.forget(here.worker)
    assert await here.rooms_of(here.worker) == []
    assert (await here.beat()).is_new is True


async def test_a_worker_that_departs_is_dead_when_it_said(store: PrimaryCommands, room: str) -> None:
    here, other = Workers(store, f"here-{room}", DEAD_S), Workers(store, f"other-{room}", DEAD_S)
    await here.depart(DEAD_S - 1)
    assert DeadWorker(here.worker) not in await other.dead()
    await here.depart(0.0)
    assert DeadWorker(here.worker) in await other.dead()
    await other.forget(here.worker)
    assert DeadWorker(here.worker) not in await other.dead()


async def test_a_gateway_of_an_older_version_is_found_dead_too_and_forgotten(
    store: PrimaryCommands, client: redis.Redis, room: str
) -> None:
    here, old = Workers(store, f"here-{room}", 0.0), f"old-{room}"
    await client.zadd(keys.OLDER_WORKERS, {old: await store_time_s(client)})
    await here.dead()
    assert DeadWorker(old, is_older=True) in await here.dead()
    await here.forget(old)
    assert await client.zscore(keys.OLDER_WORKERS, old) is None


async def test_what_is_no_workers_name_is_left_alone(
    store: PrimaryCommands, client: redis.Redis, room: str
) -> None:
    here = Workers(store, f"here-{room}", DEAD_S)
    await client.zadd(keys.WORKERS, {b"\xff": -1.0})
    try:
        await here.depart(0.0)
        assert DeadWorker(here.worker) in await here.dead()
    finally:
        await here.forget(here.worker)
        await client.zrem(keys.WORKERS, b"\xff")
