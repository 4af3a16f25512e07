"""publish.lua and snapshot.lua against a real server: numbering, storing, telling, in one step each."""

from __future__ import annotations

import asyncio
import time

import pytest
import redis.asyncio as redis

from gateway import keys
from gateway.errors import StoreRefused
from gateway.protocol import EMPTY_ENTRY, Position, entry
from gateway.redis.commands import PrimaryCommands
from gateway.state.history import NOTHING, Histories, Observed
from gateway.state.scripts import PUBLISH

TTL_S, META_TTL_S, IDEMPOTENCY_TTL_S = 100, 200, 50


async def publish(
    store: PrimaryCommands,
    room: str,
    text: str,
    epoch: str = "e1",
    key: str | None = None,
    observed: Observed = NOTHING,
    kept: int = 100,
) -> Position:
    """Runs the script as the publisher does; `epoch` is taken if a new one is needed."""
    names = [keys.history(room), keys.meta(room)]
    if key is not None:
        names.append(keys.idempotency(room, key))
    reply = await store.run(
        PUBLISH, tuple(names), "PUBLISH", keys.live(room), "", " ", "", f'"{room}"', kept, TTL_S, META_TTL_S,
        IDEMPOTENCY_TTL_S, epoch, *observed.arguments(), entry(text, "ann", 7),
    )  # fmt: skip
    return Position.parse(reply.removeprefix(b"=").decode())


async def texts(client: redis.Redis, room: str) -> list[bytes | str]:
    return list(await client.lrange(keys.history(room), 0, -1))


async def test_a_first_message_begins_an_epoch_at_one(
    store: PrimaryCommands, client: redis.Redis, room: str
) -> None:
    assert await publish(store, room, "m1") == Position("e1", 1)
    assert await publish(store, room, "m2", "e2") == Position("e1", 2)
    meta = await client.hgetall(keys.meta(room))
    assert (meta[b"epoch"], meta[b"seq"], sorted(meta)) == (b"e1", b"2", [b"begun", b"epoch", b"seq"])
    assert await texts(client, room) == [entry("m1", "ann", 7), entry("m2", "ann", 7)]


async def test_an_entry_is_the_old_services_json_under_its_key(client: redis.Redis, room: str) -> None:
    assert keys.history(room) == f"chat_history_{room}".encode()
    assert entry("hi", "ann", 7) == b'{"message":"hi","username":"ann","__createdtime__":7}'


async def test_the_channel_brings_position_and_data_with_room_and_id(
    store: PrimaryCommands, client: redis.Redis, room: str
) -> None:
    async with client.pubsub() as listening:
        await listening.subscribe(keys.live(room))
        await listening.get_message(timeout=3)
        await publish(store, room, "m1")
        message = await listening.get_message(timeout=3)
    expected = (
        f'e1:1 {{"message":"m1","username":"ann","__createdtime__":7,"room":"{room}","id":"e1:1"}}'.encode()
    )
    assert message["data"] == expected


async def test_only_the_last_entries_are_kept_and_everything_expires(
    store: PrimaryCommands, client: redis.Redis, room: str
) -> None:
    for number in range(1, 6):
        await publish(store, room, f"m{number}", key=f"k{number}", kept=3)
    assert await texts(client, room) == [entry(f"m{number}", "ann", 7) for number in (3, 4, 5)]
    ttls = [
        await client.ttl(name) for name in (keys.history(room), keys.meta(room), keys.idempotency(room, "k5"))
    ]
    assert [TTL_S - 5 < ttls[0] <= TTL_S, META_TTL_S - 5 < ttls[1] <= META_TTL_S, 45 < ttls[2] <= 50] == [
        True
    ] * 3


async def test_a_known_idempotency_key_stores_and_tells_nothing(
    store: PrimaryCommands, client: redis.Redis, room: str
) -> None:
    first = await publish(store, room, "m1", key="k")
    await publish(store, room, "m2")
    async with client.pubsub() as listening:
        await listening.subscribe(keys.live(room))
        await listening.get_message(timeout=3)
        assert await publish(store, room, "m1", key="k") == first
        assert await publish(store, room, "m3") == Position("e1", 3)
        message = await listening.get_message(timeout=3)
    assert message["data"].startswith(b"e1:3 ")
    assert len(await texts(client, room)) == 3


async def test_the_same_key_from_two_connections_at_once_is_one_message(
    redis_url: str, store: PrimaryCommands, client: redis.Redis, room: str
) -> None:
    answers = await asyncio.gather(*(publish(store, room, "m", key="k") for _ in range(20)))
    assert set(answers) == {Position("e1", 1)}
    assert len(await texts(client, room)) == 1


async def test_a_room_of_the_old_service_is_adopted_where_it_ends(
    store: PrimaryCommands, client: redis.Redis, room: str
) -> None:
    for number in range(3):
        await client.rpush(keys.history(room), entry(f"old{number}", "bob", number))
    assert await publish(store, room, "new") == Position("e1", 4)
    snapshot = await Histories(store, 600).snapshot(room)
    assert [seq for seq, _ in snapshot.after(0)] == [1, 2, 3, 4]


async def test_a_store_that_is_behind_what_was_seen_begins_a_new_epoch_and_counts_on(
    store: PrimaryCommands, room: str
) -> None:
    await publish(store, room, "m1")
    assert await publish(store, room, "m2", "e2", observed=Observed(Position("e1", 1))) == Position("e1", 2)
    assert await publish(store, room, "m3", "e3", observed=Observed(Position("e1", 9))) == Position("e3", 3)
    assert await publish(store, room, "m4", "e4", observed=Observed(Position("e1", 9))) == Position("e3", 4)


async def test_a_large_seq_is_written_as_a_whole_number(
    store: PrimaryCommands, client: redis.Redis, room: str
) -> None:
    large = 123_456_789_012_345
    await client.hset(keys.meta(room), mapping={"epoch": "e1", "seq": large})
    assert await publish(store, room, "m") == Position("e1", large + 1)
    assert await client.hget(keys.meta(room), "seq") == b"%d" % (large + 1)


async def test_a_key_of_another_type_is_refused_and_nothing_is_told(
    store: PrimaryCommands, client: redis.Redis, room: str
) -> None:
    await client.set(keys.history(room), "not a list")
    with pytest.raises(StoreRefused, match="WRONGTYPE"):
        await publish(store, room, "m")
    with pytest.raises(StoreRefused, match="WRONGTYPE"):
        await Histories(store, 600).snapshot(room)


# -- snapshots


async def test_a_snapshot_of_a_new_room_makes_its_epoch(
    store: PrimaryCommands, client: redis.Redis, room: str
) -> None:
    first = await Histories(store, 600).snapshot(room)
    again = await Histories(store, 600).snapshot(room)
    assert (first.seq, list(first.entries), first.epoch) == (0, [], again.epoch)
    assert len(first.epoch) == 10
    assert 590 < await client.ttl(keys.meta(room)) <= 600
    assert (await publish(store, room, "m1")).epoch == first.epoch


async def test_a_snapshot_adopts_a_room_of_the_old_service(
    store: PrimaryCommands, client: redis.Redis, room: str
) -> None:
    one, two = entry("one", "ann", 7), entry("two", "ann", 8)
    await client.rpush(keys.history(room), one, two)
    snapshot = await Histories(store, 600).snapshot(room)
    assert (snapshot.seq, snapshot.after(0)) == (2, [(1, one), (2, two)])


async def test_an_entry_that_nobody_can_read_is_an_empty_message_in_its_place(
    store: PrimaryCommands, client: redis.Redis, room: str
) -> None:
    one = entry("one", "ann", 7)
    await client.rpush(keys.history(room), one, b"{ }", b"\xff", b"text", one)
    snapshot = await Histories(store, 600).snapshot(room)
    assert list(snapshot.entries) == [one, EMPTY_ENTRY, EMPTY_ENTRY, EMPTY_ENTRY, one]


async def test_a_snapshot_of_a_store_that_lost_data_has_a_new_epoch_at_once(
    store: PrimaryCommands, room: str
) -> None:
    await publish(store, room, "m1")
    histories = Histories(store, 600)
    assert (await histories.snapshot(room, Observed(Position("e1", 1)))).epoch == "e1"
    assert (await histories.snapshot(room, Observed(Position("other", 99)))).epoch == "e1"
    lost = await histories.snapshot(room, Observed(Position("e1", 2)))
    assert lost.epoch not in ("e1", "")
    assert (lost.seq, len(lost.entries)) == (1, 1)
    assert (await histories.snapshot(room, Observed(Position("e1", 2)))).epoch == lost.epoch


@pytest.mark.parametrize("way", ["publish", "snapshot"])
@pytest.mark.parametrize("is_contradicted", [False, True])
async def test_who_saw_more_elsewhere_after_an_epoch_began_begins_one_more(
    store: PrimaryCommands, client: redis.Redis, room: str, way: str, is_contradicted: bool
) -> None:
    histories, epochs = Histories(store, 600), iter(["e2", "e3", "e4", "e5"])

    async def epoch_for(seen: Position, age_ms: int | None = None) -> str:
        observed = Observed(seen, is_contradicted and age_ms is not None, age_ms)
        if way == "publish":
            return (await publish(store, room, "m", next(epochs), observed=observed)).epoch
        return (await histories.snapshot(room, observed)).epoch

    await publish(store, room, "m1")
    first = await epoch_for(Position("e1", 55), 5)
    assert first != "e1"
    begun_ms = int(await client.hget(keys.meta(room), "begun") or 0)
    assert 0 <= time.time() * 1000 - begun_ms < 5000
    assert await epoch_for(Position("e1", 99)) == first, "it was here when the epoch began"
    assert await epoch_for(Position("e1", 57), 60_000) == first, "that had been seen before"
    second = await epoch_for(Position("e1", 57), 0)
    assert second not in (first, "e1")
    assert int(await client.hget(keys.meta(room), "begun") or 0) >= begun_ms


@pytest.mark.parametrize("way", ["publish", "snapshot"])
async def test_other_messages_in_the_same_places_begin_a_new_epoch_once(
    store: PrimaryCommands, room: str, way: str
) -> None:
    histories = Histories(store, 600)
    for number in range(3):
        await publish(store, room, f"m{number}")
    seen = Observed(Position("e1", 2), is_contradicted=True)
    if way == "publish":
        assert await publish(store, room, "m", "e2", observed=seen) == Position("e2", 4)
        assert await publish(store, room, "m", "e3", observed=seen) == Position("e2", 5)
    else:
        begun = await histories.snapshot(room, seen)
        assert (begun.seq, begun.has_begun, begun.epoch != "e1") == (3, True, True)
        again = await histories.snapshot(room, seen)
        assert (again.position, again.has_begun) == (begun.position, False)


async def test_a_room_that_was_wiped_begins_anew_for_all_who_saw_it_before(
    store: PrimaryCommands, room: str
) -> None:
    histories = Histories(store, 600)
    begun = await histories.snapshot(room, Observed(Position("e1", 5), age_ms=100))
    assert (begun.seq, begun.has_begun) == (0, False)
    assert (await histories.snapshot(room, Observed(Position("e1", 9), age_ms=60000))).epoch == begun.epoch
    assert (await histories.snapshot(room, Observed(Position("e1", 9), age_ms=0))).epoch != begun.epoch


async def test_position_and_entries_belong_together_while_others_publish(
    store: PrimaryCommands, room: str
) -> None:
    histories = Histories(store, 600)
    sending = [asyncio.create_task(publish(store, room, f"m{number}")) for number in range(1, 201)]
    reading = [await histories.snapshot(room) for _ in range(20)]
    await asyncio.gather(*sending)
    for snapshot in [*reading, await histories.snapshot(room)]:
        for seq, stored in snapshot.after(0):
            assert stored == entry(f"m{seq}", "ann", 7)
