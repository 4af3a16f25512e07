"""Which workers live, by the store's clock."""

from __future__ import annotations

import redis.asyncio as redis

from gateway import keys
from gateway.redis.commands import PrimaryCommands
from gateway.state.workers import Workers

DEAD_S = 15.0
AN_HOUR_S = 3600.0


async def store_time_s(client: redis.Redis) -> float:
    seconds, microseconds = await client.time()
    return float(seconds) + float(microseconds) / 1e6


async def test_a_heartbeat_bears_the_stores_time(
    store: PrimaryCommands, client: redis.Redis, room: str
) -> None:
    here = Workers(store, f"here-{room}", DEAD_S)
    before_s = await store_time_s(client)
    await here.beat()
    at_s = await client.zscore(keys.WORKERS, here.worker)
    assert at_s is not None
    assert before_s <= at_s <= await store_time_s(client)
    assert here.worker not in await here.dead()


async def test_a_worker_learns_that_it_was_taken_for_dead(store: PrimaryCommands, room: str) -> None:
    here, other = Workers(store, f"here-{room}", DEAD_S), Workers(store, f"other-{room}", DEAD_S)
    assert await here.beat() is True
    assert await here.beat() is False
    await here.enter(room)
    await other.forget(here.worker)
    assert await here.rooms_of(here.worker) == []
    assert await here.beat() is True


async def test_a_worker_that_departs_is_dead_when_it_said(store: PrimaryCommands, room: str) -> None:
    here, other = Workers(store, f"here-{room}", DEAD_S), Workers(store, f"other-{room}", DEAD_S)
    await here.depart(DEAD_S - 1)
    assert here.worker not in await other.dead()
    await here.depart(0.0)
    assert here.worker in await other.dead()
    await other.forget(here.worker)
    assert here.worker not in await other.dead()


async def test_a_heartbeat_from_the_future_ages_from_now_on(
    store: PrimaryCommands, client: redis.Redis, room: str
) -> None:
    here, ahead = Workers(store, f"here-{room}", DEAD_S), f"ahead-{room}"
    await client.zadd(keys.WORKERS, {ahead: await store_time_s(client) + AN_HOUR_S})
    assert ahead not in await here.dead()
    at_s = await client.zscore(keys.WORKERS, ahead)
    assert at_s is not None
    assert at_s <= await store_time_s(client)
    await client.zrem(keys.WORKERS, ahead)
