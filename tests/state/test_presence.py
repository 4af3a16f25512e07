"""The presence scripts and the list of workers against a real server."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import redis.asyncio as redis

from gateway import keys
from gateway.redis.commands import PrimaryCommands
from gateway.state.presence import Change, Presence
from gateway.state.workers import Workers


@pytest.fixture
def presence(store: PrimaryCommands) -> Presence:
    return Presence(store, "w1")


async def counts(client: redis.Redis, room: str) -> dict[bytes | str, bytes | str]:
    """How many sessions each user of a room has."""
    return await client.hgetall(keys.users(room))


async def entry(client: redis.Redis, room: str, session: str) -> dict[str, Any]:
    """What is stored of a session."""
    found = await client.hget(keys.members(room, "w1"), session)
    assert found is not None
    read: dict[str, Any] = json.loads(found)
    return read


async def test_the_first_session_of_a_user_is_announced_and_the_last(presence: Presence, room: str) -> None:
    assert await presence.join(room, "s1", "ann") == Change(True, 1)
    assert await presence.join(room, "s2", "ann") == Change(False, 1)
    assert await presence.join(room, "s3", "ben") == Change(True, 2)
    assert await presence.leave(room, "s1") == Change(False, 2)
    assert await presence.leave(room, "s2") == Change(True, 1)
    assert await presence.leave(room, "s2") == Change(False, 1), "it is not there any more"
    assert await presence.leave(room, "s3") == Change(True, 0)


async def test_an_empty_room_leaves_nothing_behind(
    presence: Presence, client: redis.Redis, room: str
) -> None:
    await presence.join(room, "s1", "ann")
    await presence.leave(room, "s1")
    assert await client.exists(keys.members(room, "w1"), keys.users(room)) == 0


async def test_joining_again_refreshes_and_counts_once(
    presence: Presence, client: redis.Redis, room: str
) -> None:
    await presence.join(room, "s1", "ann")
    await presence.away(room, "s1")
    assert await presence.join(room, "s1", "ann") == Change(False, 1)
    stored = await entry(client, room, "s1")
    assert (stored["username"], "leaving" in stored) == ("ann", False)
    assert abs(stored["since"] - time.time() * 1000) < 60_000
    assert await counts(client, room) == {b"ann": b"1"}


async def test_a_session_that_changes_its_name_is_one_user(
    presence: Presence, client: redis.Redis, room: str
) -> None:
    await presence.join(room, "s1", "ann")
    await presence.join(room, "s2", "ann")
    assert await presence.join(room, "s1", "bea") == Change(True, 2)
    assert await presence.join(room, "s2", "bea") == Change(False, 1)
    assert await counts(client, room) == {b"bea": b"2"}


async def test_an_away_session_is_a_member_until_it_is_taken_out(
    presence: Presence, client: redis.Redis, room: str
) -> None:
    await presence.join(room, "s1", 'Zoë "Z" \\ 茶')
    await presence.away(room, "s1")
    await presence.away(room, "nobody")
    assert (await entry(client, room, "s1"))["leaving"] > 1_700_000_000_000
    assert (await presence.members(room, 10)) == (['Zoë "Z" \\ 茶'], 1)
    assert await presence.leave(room, "s1") == Change(True, 0)


async def test_a_sweep_takes_out_one_workers_sessions_and_names_who_is_gone(
    store: PrimaryCommands, client: redis.Redis, room: str
) -> None:
    dead, living = Presence(store, "dead"), Presence(store, "living")
    await dead.join(room, "s1", "ann")
    await dead.join(room, "s2", "ben")
    await dead.join(room, "s3", "ben")
    await living.join(room, "s4", "ann")
    swept = await living.sweep(room, "dead")
    assert (swept.gone, swept.count, swept.cursor) == (["ben"], 1, "")
    again = await living.sweep(room, "dead")
    assert (again.gone, again.count, again.cursor) == ([], 1, ""), "once"
    assert await client.hkeys(keys.members(room, "living")) == [b"s4"]
    assert await client.exists(keys.members(room, "dead")) == 0
    assert await counts(client, room) == {b"ann": b"1"}


async def test_members_names_no_more_than_asked_for_and_counts_all(presence: Presence, room: str) -> None:
    for number in range(700):
        await presence.join(room, f"s{number}", f"user-{number}")
    names, count = await presence.members(room, 200)
    assert count == 700
    assert 1 <= len(names) <= 200
    assert len(set(names)) == len(names)
    assert len((await presence.members(room, 700))[0]) == 700


# -- workers


async def names(workers: Workers) -> set[str]:
    """The workers that are dead in the eyes of one."""
    return {dead.name for dead in await workers.dead()}


async def test_a_worker_counts_as_dead_when_its_heartbeat_is_old(store: PrimaryCommands, room: str) -> None:
    here, there = Workers(store, f"here-{room}", 15.0), Workers(store, f"there-{room}", 15.0)
    await here.beat()
    await there.beat()
    assert not {here.worker, there.worker} & await names(here)
    await there.depart(0.0)
    assert there.worker in await names(here)
    await there.depart(10.0)
    assert there.worker not in await names(here), "its sessions may come back elsewhere first"
    await here.forget(there.worker)
    await here.forget(here.worker)
    assert not {here.worker, there.worker} & await names(here)


async def test_a_worker_notes_the_rooms_in_which_it_has_sessions(store: PrimaryCommands, room: str) -> None:
    here, other = Workers(store, f"here-{room}", 15.0), Workers(store, f"other-{room}", 15.0)
    await here.enter(["Tee & 茶", room])
    assert sorted(await other.rooms_of(here.worker)) == sorted(["Tee & 茶", room])
    await other.quit([room], here.worker)
    assert await other.rooms_of(here.worker) == ["Tee & 茶"]
    await here.quit(["Tee & 茶"])
    assert await other.rooms_of(here.worker) == []
    await here.enter([room])
    await other.forget(here.worker)
    assert await other.rooms_of(here.worker) == []
