"""No script keeps Redis from everybody else for long, at the largest sizes that the limits allow."""

from __future__ import annotations

import time
import uuid

import pytest
import redis.asyncio as redis

from gateway import keys
from gateway.redis.commands import PrimaryCommands
from gateway.state.moderation import ENTRIES_MAX as MUTES_MAX
from gateway.state.moderation import ModerationStore
from gateway.state.people import people_in
from gateway.state.presence import AS_USER, Presence
from gateway.state.revocations import ENTRIES_MAX, RevocationStore, TooManyEntries, token
from gateway.state.room_counts import RoomCounts
from tests.support.script_times import fill, shortest_us

Own = tuple[PrimaryCommands, redis.Redis]

pytestmark = pytest.mark.system  # a server of its own

LONGEST_US = 2000
MEMBERS, WORKERS = 10_000, 400


async def members_of_a_very_large_room(client: redis.Redis, room: str) -> None:
    await fill(
        client, keys.members(room, "here"), {f"s{n}": '{"username":"u","since":1}' for n in range(MEMBERS)}
    )
    await fill(client, keys.users(room), {f"user-{n}": "1" for n in range(MEMBERS)})
    held = {f"look{n}": f"1 {n}" for n in range(MEMBERS)}
    await fill(
        client, keys.verified(room), held | {f"{AS_USER}u{n}{AS_USER}{n}": f"1 {n}" for n in range(MEMBERS)}
    )


async def test_presence_in_a_very_large_room(own: Own, room: str) -> None:
    store, client = own
    await members_of_a_very_large_room(client, room)
    presence = Presence(store, "here")

    async def comes_and_goes() -> None:
        session = uuid.uuid4().hex
        await presence.join(room, session, f"new {session}", "42")
        await presence.away(room, session)
        await presence.leave(room, session)

    assert await shortest_us(client, comes_and_goes, "join, away, leave") < LONGEST_US
    assert await shortest_us(client, lambda: presence.members(room, 200), "members") < LONGEST_US
    assert await shortest_us(client, lambda: presence.identified(room, 200), "identified") < LONGEST_US


async def test_numbers_of_very_many_workers(own: Own, room: str) -> None:
    store, client = own
    now_s, fields = int(time.time()), {}
    for number in range(WORKERS):
        fields[f"worker-{number}"] = f"250 {now_s - (500 if number % 2 else 0)}"
    counts = RoomCounts(store, "here")
    await fill(client, keys.counts(room), fields)
    assert await shortest_us(client, lambda: people_in(store, [room]), "counted") < LONGEST_US
    assert await shortest_us(client, lambda: counts.write([(room, 5)]), "count_write") < LONGEST_US


async def test_as_many_revocations_as_there_may_be(own: Own) -> None:
    store, client = own
    end_s = time.time() + 1000
    await fill(client, keys.REVOKED, {f"jti:{n}": f"{end_s:.3f}" for n in range(ENTRIES_MAX)})
    revocations = RevocationStore(store)

    async def revoke() -> None:
        with pytest.raises(TooManyEntries):
            await revocations.change([token(uuid.uuid4().hex, end_s)], time.time())

    assert await shortest_us(client, revoke, "revoke") < LONGEST_US


async def test_as_many_mutes_as_there_may_be(own: Own, room: str) -> None:
    store, client = own
    end_ms = round((time.time() + 1000) * 1000)
    await fill(client, keys.mutes(room), {f"user-{n}": str(end_ms) for n in range(MUTES_MAX)})
    moderation = ModerationStore(store)
    assert await shortest_us(client, lambda: moderation.mute(room, "user-7", 60.0), "moderate") < LONGEST_US
