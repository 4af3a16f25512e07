"""No script keeps Redis from everybody else for long, at the largest sizes that the limits allow."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import redis.asyncio as redis

from gateway import keys
from gateway.redis.commands import PrimaryCommands
from gateway.state.history import NO_POSITION, Histories, Observed
from gateway.state.moderation import ENTRIES_MAX as MUTES_MAX
from gateway.state.moderation import ModerationStore
from gateway.state.people import people_in
from gateway.state.presence import AS_USER, Presence
from gateway.state.revocations import ENTRIES_MAX, RevocationStore, TooManyEntries, token
from gateway.state.room_counts import RoomCounts
from tests.support.servers import Valkey
from tests.support.stores import connected_store

pytestmark = pytest.mark.system  # a server of its own

LONGEST_US = 2000
CALLS = 8
MEMBERS, WORKERS = 10_000, 400

Own = tuple[PrimaryCommands, redis.Redis]


@pytest.fixture
async def own(server: Valkey) -> AsyncIterator[Own]:
    """A server that nobody else makes slow."""
    client = redis.Redis.from_url(server.url)
    async with connected_store(server.url) as store:
        yield store, client
    await client.aclose()


async def fill(client: redis.Redis, key: bytes, fields: dict[str, str]) -> None:
    pairs = list(fields.items())
    for at in range(0, len(pairs), 5_000):
        await client.hset(key, mapping=dict(pairs[at : at + 5_000]))


async def shortest_us(client: redis.Redis, attempt: Callable[[], Awaitable[object]]) -> int:
    """How long its longest script takes, in the calmest of some calls: others use this machine, too."""
    found: list[int] = []
    for _ in range(CALLS):
        await client.config_resetstat()
        await attempt()
        stats = (await client.info("commandstats"))["cmdstat_evalsha"]
        found.append(round(stats["usec"] / stats["calls"]))
    return min(found)


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

    assert await shortest_us(client, comes_and_goes) < LONGEST_US
    assert await shortest_us(client, lambda: presence.members(room, 200)) < LONGEST_US
    assert await shortest_us(client, lambda: presence.identified(room, 200)) < LONGEST_US


async def test_numbers_of_very_many_workers(own: Own, room: str) -> None:
    store, client = own
    now_s, fields = int(time.time()), {}
    for number in range(WORKERS):
        fields[f"worker-{number}"] = f"250 {now_s - (500 if number % 2 else 0)}"
    counts = RoomCounts(store, "here")
    await fill(client, keys.counts(room), fields)
    assert await shortest_us(client, lambda: people_in(store, [room])) < LONGEST_US
    assert await shortest_us(client, lambda: counts.write([(room, 5)])) < LONGEST_US


async def test_a_history_of_the_longest_messages(own: Own, room: str) -> None:
    store, client = own
    entry = json.dumps({"message": "x" * 16_384, "username": "u", "__createdtime__": 1})
    await client.rpush(keys.history(room), *([entry] * 100))
    histories = Histories(store, 600, 600)
    observed = Observed(NO_POSITION)
    assert await shortest_us(client, lambda: histories.snapshot(room, observed, NO_POSITION)) < LONGEST_US


async def test_as_many_revocations_as_there_may_be(own: Own) -> None:
    store, client = own
    end_s = time.time() + 1000
    await fill(client, keys.REVOKED, {f"jti:{n}": f"{end_s:.3f}" for n in range(ENTRIES_MAX)})
    revocations = RevocationStore(store)

    async def revoke() -> None:
        with pytest.raises(TooManyEntries):
            await revocations.change([token(uuid.uuid4().hex, end_s)], time.time())

    assert await shortest_us(client, revoke) < LONGEST_US


async def test_as_many_mutes_as_there_may_be(own: Own, room: str) -> None:
    store, client = own
    end_ms = round((time.time() + 1000) * 1000)
    await fill(client, keys.mutes(room), {f"user-{n}": str(end_ms) for n in range(MUTES_MAX)})
    moderation = ModerationStore(store)
    assert await shortest_us(client, lambda: moderation.mute(room, "user-7", 60.0)) < LONGEST_US
