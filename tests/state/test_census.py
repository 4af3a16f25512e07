"""Rooms and workers over all workers, read from a real server."""

from __future__ import annotations

import time

from gateway import keys
from gateway.protocol import Position
from gateway.redis.commands import PrimaryCommands
from gateway.state.census import Census, WorkerState

DEAD_S = 15.0


async def lives(store: PrimaryCommands, worker: str, rooms: list[str], age_s: float = 0.0) -> None:
    """A worker that beat so long ago, with one user in each of its rooms."""
    await store.call(keys.WORKERS, "ZADD", keys.WORKERS, f"{time.time() - age_s:.3f}", worker)
    key = keys.worker_rooms(worker)
    for at in range(0, len(rooms), 500):
        await store.call(key, "SADD", key, *rooms[at : at + 500])
    for name in rooms:
        await store.call(keys.users(name), "HSET", keys.users(name), "ada", 1)


async def test_rooms_of_several_workers_come_once_in_order_whatever_the_size_of_a_page(
    store: PrimaryCommands, room: str
) -> None:
    names = sorted(f"{room}[{number}]" for number in range(3000))
    await lives(store, f"{room}-a", names[:2000])
    await lives(store, f"{room}-b", names[1000:])
    await lives(store, f"{room}-dead", [f"{room}[dead"], age_s=100)
    await store.call(keys.users(names[7]), "DEL", keys.users(names[7]))  # everybody has just left
    census = Census(store, DEAD_S)
    found: list[str] = []
    cursor, pages = "", 0
    while True:
        page = await census.rooms(f"{room}[", cursor, 37 if pages % 2 else 400)
        assert len(page.counts) <= 400
        found += page.counts
        pages += 1
        if page.cursor is None:
            break
        cursor = page.cursor
    assert found == [name for name in names if name != names[7]]
    assert (await census.rooms(f"{room}?", "", 10)).counts == {}, "a prefix is no pattern"


async def test_a_room_is_told_by_its_position_users_and_workers_and_not_made(
    store: PrimaryCommands, room: str
) -> None:
    census = Census(store, DEAD_S)
    assert await census.room(room) == (None, 0, [])
    assert not await store.call(keys.meta(room), "EXISTS", keys.meta(room))
    await lives(store, f"{room}-a", [room])
    await lives(store, f"{room}-b", [])
    await store.call(keys.meta(room), "HSET", keys.meta(room), "epoch", "e", "seq", 7)
    assert await census.room(room) == (Position("e", 7), 1, [f"{room}-a"])


async def test_workers_tell_of_themselves_and_one_that_does_not_is_unknown(
    store: PrimaryCommands, room: str
) -> None:
    census = Census(store, DEAD_S)
    for worker in ("a", "b", "c"):
        await lives(store, f"{room}-{worker}", [])
    await census.note(f"{room}-a", WorkerState("ready", 5, 2))
    await store.call(keys.worker_state(f"{room}-c"), "SET", keys.worker_state(f"{room}-c"), '["x",{}]')
    states = await census.states()
    assert states[f"{room}-a"] == ("ready", 5, 2)
    assert states[f"{room}-b"] == states[f"{room}-c"] == ("unknown", None, None)
    assert (
        0 < await store.call(keys.worker_state(f"{room}-a"), "TTL", keys.worker_state(f"{room}-a")) <= DEAD_S
    )
