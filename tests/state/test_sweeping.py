"""Sweeps of rooms of any size: in pieces, so that nobody waits for a script; of older gateways' sessions, too."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
import redis.asyncio as redis

from gateway import keys
from gateway.redis.commands import PrimaryCommands
from gateway.state.presence import SWEEP_MAX, Presence, Swept

LONGEST_US = 2000
ROUNDS = 5
"""The calmest counts: what a script uses of a core grows too where many others want it."""
CHUNK = 10_000


async def fill(client: redis.Redis, room: str, worker: str, sessions: int, is_older: bool) -> None:
    """As many sessions of a worker, each a user of its own, written as their gateway does."""
    key = keys.older_members(room) if is_older else keys.members(room, worker)
    more = {"worker": worker} if is_older else {}
    for first in range(0, sessions, CHUNK):
        numbers = range(first, min(sessions, first + CHUNK))
        entries: dict[Any, Any] = {
            f"{worker}-{n:07}": json.dumps({"username": f"{worker}-{n}", "since": 1, **more}) for n in numbers
        }
        await client.hset(key, mapping=entries)
        counts: dict[Any, Any] = {f"{worker}-{n}": 1 for n in numbers}
        await client.hset(keys.users(room), mapping=counts)


async def sweep(presence: Presence, room: str, worker: str, is_older: bool = False) -> tuple[list[str], int]:
    """Sweeps to the end; returns who is gone and in how many pieces."""
    gone, pieces, cursor = [], 0, "0"
    while cursor:
        swept = await presence.sweep(room, worker, cursor, is_older)
        gone += swept.gone
        pieces, cursor = pieces + 1, swept.cursor
        assert len(swept.gone) <= SWEEP_MAX
    return gone, pieces


class Measured(Presence):
    """Measures each piece by the server's processor time: the clock would count what else the machine does."""

    def __init__(self, store: PrimaryCommands, client: redis.Redis) -> None:
        super().__init__(store, "living")
        self._client = client
        self.pieces_us: list[float] = []

    async def sweep(self, room: str, worker: str, cursor: str = "0", is_older: bool = False) -> Swept:
        before_us = await self._used_us()
        swept = await super().sweep(room, worker, cursor, is_older)
        self.pieces_us.append(await self._used_us() - before_us)
        return swept

    async def _used_us(self) -> float:
        used = await self._client.info("cpu")
        return 1e6 * (float(used["used_cpu_user"]) + float(used["used_cpu_sys"]))


@pytest.mark.system  # a server of its own
@pytest.mark.parametrize("is_older", [False, True])
@pytest.mark.parametrize("sessions", [100, 500, 1_000, 10_000, pytest.param(100_000, marks=pytest.mark.long)])
async def test_no_piece_of_a_sweep_takes_long_whatever_the_size_of_the_room(
    own: tuple[PrimaryCommands, redis.Redis], room: str, sessions: int, is_older: bool
) -> None:
    store, client = own
    longest_us = []
    for number in range(ROUNDS):
        name = f"{room}-{number}"
        await fill(client, name, "dead", sessions, is_older)
        presence = Measured(store, client)
        gone, _ = await sweep(presence, name, "dead", is_older)
        assert (len(set(gone)), len(gone)) == (sessions, sessions)
        assert (
            await client.exists(keys.users(name), keys.members(name, "dead"), keys.older_members(name)) == 0
        )
        longest_us.append(round(max(presence.pieces_us)))
    print(f"{sessions} sessions: the longest piece of each round {longest_us} us")
    assert min(longest_us) < LONGEST_US


@pytest.mark.parametrize("sizes", [(3, 5), (700, 900)])
async def test_the_sessions_of_an_older_gateway_are_swept_and_those_of_others_stay(
    store: PrimaryCommands, client: redis.Redis, room: str, sizes: tuple[int, int]
) -> None:
    """A rolling restart: older gateways keep the sessions of all workers of a room in one hash."""
    dead, living = sizes
    await fill(client, room, "dead", dead, is_older=True)
    await fill(client, room, "old", living, is_older=True)
    presence = Presence(store, "new")
    await presence.join(room, uuid.uuid4().hex, "dead-0")
    gone, _ = await sweep(presence, room, "dead", is_older=True)
    assert sorted(gone) == sorted(f"dead-{n}" for n in range(1, dead)), (
        "one of them is here by another session"
    )
    assert await client.hlen(keys.older_members(room)) == living
    assert (await presence.members(room, 1))[1] == living + 1


async def test_a_user_with_sessions_in_two_pieces_is_named_once(
    store: PrimaryCommands, client: redis.Redis, room: str
) -> None:
    sessions = 3 * SWEEP_MAX
    entry = json.dumps({"username": "ann", "since": 1})
    await client.hset(keys.members(room, "dead"), mapping={f"s{n}": entry for n in range(sessions)})
    await client.hset(keys.users(room), "ann", sessions)
    gone, pieces = await sweep(Presence(store, "living"), room, "dead")
    assert (gone, pieces > 1) == (["ann"], True)
