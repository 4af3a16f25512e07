"""What Redis holds of what is revoked and banned: changes, versions, and the bound; on a server of the test's own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import redis.asyncio as redis

from gateway import keys
from gateway.errors import StoreRefused
from gateway.redis.address import FixedFinder, endpoint_of
from gateway.redis.commands import PrimaryCommands
from gateway.redis.server_watch import ServerWatch
from gateway.state.revocations import (
    BAN,
    ENTRIES_MAX,
    PIECE,
    USER,
    Change,
    RevocationStore,
    TooManyEntries,
    tokens_until,
    until,
    version_in,
)
from gateway.state.workers import Workers
from tests.support.redis_limits import LIMITS
from tests.support.servers import Valkey

NOW_S = 1_800_000_000.0
FOR_EVER = until(0)


@pytest.fixture
async def commands(server: Valkey) -> AsyncIterator[PrimaryCommands]:
    """A connection to it."""
    store = PrimaryCommands(FixedFinder(endpoint_of(server.url)), ServerWatch(), "test-revoked", LIMITS)
    await store.start(10)
    yield store
    await store.close()


@pytest.fixture
def revoked(commands: PrimaryCommands) -> RevocationStore:
    return RevocationStore(commands)


@pytest.fixture
async def client(server: Valkey) -> AsyncIterator[redis.Redis]:
    """redis-py, to look at what it holds."""
    client = redis.Redis.from_url(server.url)
    yield client
    await client.aclose()


async def everything(revoked: RevocationStore) -> dict[bytes, bytes]:
    return {field: value async for piece in revoked.pieces() for field, value in piece}


async def test_a_change_is_kept_under_the_names_of_the_contract(
    revoked: RevocationStore, client: redis.Redis
) -> None:
    assert await revoked.version() == b""
    changes = [
        tokens_until("ada", NOW_S, 60),
        Change("jti:t1", until(NOW_S + 5)),
        Change("ban:ben", FOR_EVER),
    ]
    assert await revoked.change(changes, NOW_S) == (3, 0)
    assert await client.hgetall("gateway:revoked") == {
        b"user:ada": b"1800000000.000 1800000060.000", b"jti:t1": b"1800000005.000", b"ban:ben": b"0.000",
    }  # fmt: skip
    assert await everything(revoked) == await client.hgetall(keys.REVOKED)
    assert await client.get(keys.REVOKED_VERSION) == await revoked.version() != b""
    assert await revoked.change([Change("ban:ben")], NOW_S) == (2, 1)
    assert await revoked.change([Change("ban:ben")], NOW_S) == (2, 0)


async def test_both_keys_lie_in_one_slot_and_begin_as_those_that_the_gateways_user_may_touch() -> None:
    from redis.crc import key_slot

    assert key_slot(keys.REVOKED) == key_slot(keys.REVOKED_VERSION)
    assert keys.REVOKED == b"gateway:revoked"
    assert keys.REVOKED_VERSION.startswith(b"gateway:")


async def test_each_change_has_another_version_also_when_nothing_was_there_to_change(
    revoked: RevocationStore,
) -> None:
    versions = [await revoked.version()]
    for change in (
        Change("ban:ada", FOR_EVER),
        Change("ban:ada", FOR_EVER),
        Change("ban:ada"),
        Change("ban:ada"),
    ):
        await revoked.change([change], NOW_S)
        versions.append(await revoked.version())
    assert len(set(versions)) == 5
    assert sorted(versions, key=lambda version: int(version or 0)) == versions


async def test_versions_do_not_come_again_after_the_store_has_lost_them(
    revoked: RevocationStore, client: redis.Redis
) -> None:
    await revoked.change([Change("ban:ada", FOR_EVER)], NOW_S)
    before = await revoked.version()
    await client.delete(keys.REVOKED, keys.REVOKED_VERSION)
    await revoked.change([Change("ban:ada", FOR_EVER)], NOW_S)
    assert int(await revoked.version()) > int(before)


async def test_two_writers_lose_nothing_and_each_write_has_a_version_of_its_own(
    server: Valkey, revoked: RevocationStore
) -> None:
    second = PrimaryCommands(FixedFinder(endpoint_of(server.url)), ServerWatch(), "test-second", LIMITS)
    await second.start(10)
    listener = redis.Redis.from_url(server.url)
    pubsub = listener.pubsub()
    await pubsub.subscribe(keys.CONTROL)
    try:
        writes = [
            writer.change([Change(f"{BAN}{name}{at}", FOR_EVER)], NOW_S)
            for at in range(100)
            for name, writer in (("a", revoked), ("b", RevocationStore(second)))
        ]
        await asyncio.gather(*writes)
        assert len(await everything(revoked)) == 200
        heard: list[bytes] = []
        async with asyncio.timeout(10):
            async for message in pubsub.listen():
                if message["type"] == "message":
                    heard.append(version_in(message["data"]) or b"")
                if len(heard) == 200:
                    break
        assert len(set(heard)) == 200
        assert heard[-1] == await revoked.version()
    finally:
        await pubsub.aclose()  # type: ignore[no-untyped-call]
        await listener.aclose()
        await second.close()


async def test_what_has_ended_is_taken_away_by_the_next_write(
    revoked: RevocationStore, client: redis.Redis
) -> None:
    ends = {"jti:t1": 5, "ban:ada": 5, "ip:10.0.0.0/8": 5, "ban:ben": 6, "ban:eve": None}
    values = {field: FOR_EVER if end_s is None else until(NOW_S + end_s) for field, end_s in ends.items()}
    await revoked.change(
        [*(Change(*each) for each in values.items()), tokens_until("ada", NOW_S - 55, 60)], NOW_S
    )
    await client.hset(keys.REVOKED, "ban:odd", "no number")
    await revoked.change([Change("ban:cleo", FOR_EVER)], NOW_S + 5)
    assert set(await everything(revoked)) == {b"ban:ben", b"ban:eve", b"ban:odd", b"ban:cleo"}


async def test_an_earlier_time_does_not_take_back_a_later_one(revoked: RevocationStore) -> None:
    for not_before_s in (NOW_S, NOW_S - 1000, NOW_S - 1):
        await revoked.change([tokens_until("ada", not_before_s, 60)], NOW_S)
    assert (await everything(revoked))[b"user:ada"].startswith(b"1800000000.000 ")
    await revoked.change([tokens_until("ada", NOW_S + 1, 60)], NOW_S)
    assert (await everything(revoked))[b"user:ada"].startswith(b"1800000001.000 ")
    await revoked.change([Change("ban:ada", FOR_EVER)], NOW_S)
    await revoked.change([Change("ban:ada", until(NOW_S + 9))], NOW_S)
    assert (await everything(revoked))[b"ban:ada"] == b"1800000009.000", (
        "a ban is as long as it was said last"
    )


async def test_more_than_10_000_are_refused_with_a_sentence_and_those_that_ended_make_room(
    revoked: RevocationStore,
) -> None:
    ban_of = [Change(f"{BAN}u{at}", until(NOW_S + (10 if at < 100 else 1000))) for at in range(ENTRIES_MAX)]
    for at in range(0, ENTRIES_MAX, 1000):
        await revoked.change(ban_of[at : at + 1000], NOW_S)
    version = await revoked.version()
    with pytest.raises(TooManyEntries, match="10000 revocations and bans stand"):
        await revoked.change([Change(f"{BAN}one-more", FOR_EVER)], NOW_S)
    with pytest.raises(TooManyEntries):
        await revoked.change(
            [Change(f"{BAN}u1"), Change("ban:x", FOR_EVER), Change("ban:y", FOR_EVER)], NOW_S
        )
    assert await revoked.version() == version, "nothing has changed"
    assert (await revoked.change([Change(f"{BAN}u1", until(NOW_S + 20))], NOW_S)).known == 1, (
        "a known one may change"
    )
    entries, known = await revoked.change([Change(f"{BAN}one-more", FOR_EVER)], NOW_S + 15)
    assert (ENTRIES_MAX - 98 <= entries <= ENTRIES_MAX, known) == (True, 0)
    sizes = [len(piece) async for piece in revoked.pieces()]
    assert sum(sizes) >= ENTRIES_MAX - 98
    assert max(sizes) <= 2 * PIECE, "read in pieces"


async def test_among_many_some_are_looked_at_each_time_whether_they_ended(
    revoked: RevocationStore, client: redis.Redis
) -> None:
    """To look at 10,000 entries takes Redis some milliseconds."""
    for at in range(0, 9000, 1000):
        await revoked.change([Change(f"{USER}u{at + more}", f"1 {until(NOW_S)}") for more in range(1000)], 1)
    await client.config_resetstat()
    for at in range(256):
        await revoked.change([Change(f"{BAN}{at}", FOR_EVER)], 1)
    assert "cmdstat_hgetall" not in await client.info("commandstats")
    for at in range(256, 256 + 64):
        await revoked.change([Change(f"{BAN}{at}", FOR_EVER)], NOW_S)
    assert len(await everything(revoked)) <= 256 + 64 + 256, "those that ended do not stay many"


# -- the version in the heartbeat


async def test_a_heartbeat_brings_the_version(commands: PrimaryCommands, revoked: RevocationStore) -> None:
    workers = Workers(commands, "w1", 15.0)
    assert await workers.beat() == (True, b"")
    await revoked.change([Change("ban:ada", FOR_EVER)], time.time())
    assert await workers.beat() == (False, await revoked.version())


async def test_a_version_of_anothers_hand_does_not_stop_the_heartbeats(
    commands: PrimaryCommands, revoked: RevocationStore, client: redis.Redis
) -> None:
    await client.rpush(keys.REVOKED_VERSION, "x")
    assert await Workers(commands, "w1", 15.0).beat() == (True, None)
    with pytest.raises(StoreRefused, match="WRONGTYPE"):
        await revoked.version()
