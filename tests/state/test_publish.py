"""publish.lua and snapshot.lua against a real server: numbering, storing, telling, in one step each."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
import redis.asyncio as redis

from gateway import keys
from gateway.errors import KeyReused, StoreRefused
from gateway.option_groups import PublishOptions
from gateway.protocol import EMPTY_ENTRY, Position, entry, entry_head
from gateway.redis.commands import PrimaryCommands
from gateway.rooms.publish_commands import Once, publishing
from gateway.rooms.publisher import KEY_REUSED
from gateway.rooms.routes import RoomRoute
from gateway.state.history import NOTHING, Histories, Observed
from gateway.state.keeping import Keeping
from gateway.state.publish_scripts import publish_scripts, spare_epoch

TTL_S, META_TTL_S, IDEMPOTENCY_TTL_S = 100, 200, 50
OPTIONS = PublishOptions(history_ttl_s=TTL_S, position_ttl_s=META_TTL_S, idempotency_ttl_s=IDEMPOTENCY_TTL_S)
PUBLISH = publish_scripts(publishing(RoomRoute(), OPTIONS, False)).plain


@pytest.fixture(autouse=True)
async def _is_known(store: PrimaryCommands) -> None:
    """The server has been told the script of these options."""
    await store.call(b"", "SCRIPT", "LOAD", PUBLISH.text)


async def publish(
    store: PrimaryCommands,
    room: str,
    text: str,
    epoch: str = "e1",
    key: str | None = None,
    observed: Observed = NOTHING,
    kept: int = 100,
    sender: str = "ann",
) -> Position:
    """Runs the script as the publisher does; `epoch` is taken if a new one is needed."""
    names = [keys.history(room), keys.meta(room)]
    content = Once("", sender, key or "", text).content
    if key is not None:
        names += (keys.idempotency(room, "", sender, key), keys.older_idempotency(room, key))
    seen_epoch, seen_seq, *elsewhere = observed.arguments()
    spare = spare_epoch(epoch, Keeping(kept, None, TTL_S, META_TTL_S), OPTIONS)
    reply = await store.run(
        PUBLISH, tuple(names), keys.live(room), f'"{room}"', spare, seen_epoch, seen_seq, entry_head(text, sender),
        "", content, *elsewhere,
    )  # fmt: skip
    if reply == KEY_REUSED:
        raise KeyReused
    return Position.parse(reply.removeprefix(b"=").partition(b" ")[0].decode())


async def texts(client: redis.Redis, room: str) -> list[str]:
    return [json.loads(stored)["message"] for stored in await client.lrange(keys.history(room), 0, -1)]


async def times(client: redis.Redis, room: str) -> list[int]:
    return [
        json.loads(stored)["__createdtime__"] for stored in await client.lrange(keys.history(room), 0, -1)
    ]


async def store_time_ms(client: redis.Redis) -> int:
    seconds, microseconds = await client.time()
    return int(seconds) * 1000 + int(microseconds) // 1000


async def test_a_first_message_begins_an_epoch_at_one(
    store: PrimaryCommands, client: redis.Redis, room: str
) -> None:
    assert await publish(store, room, "m1") == Position("e1", 1)
    assert await publish(store, room, "m2", "e2") == Position("e1", 2)
    meta = await client.hgetall(keys.meta(room))
    assert (meta[b"epoch"], meta[b"seq"], sorted(meta)) == (
        b"e1",
        b"2",
        [b"begun", b"epoch", b"last", b"seq"],
    )
    assert await texts(client, room) == ["m1", "m2"]


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
    (at_ms,) = await times(client, room)
    stored = entry("m1", "ann", at_ms)
    assert message["data"] == b'e1:1 %b,"room":"%b","id":"e1:1"}' % (stored[:-1], room.encode())


async def test_only_the_last_entries_are_kept_and_everything_expires(
    store: PrimaryCommands, client: redis.Redis, room: str
) -> None:
    for number in range(1, 6):
        await publish(store, room, f"m{number}", key=f"k{number}", kept=3)
    assert await texts(client, room) == ["m3", "m4", "m5"]
    ttls = [
        await client.ttl(name)
        for name in (keys.history(room), keys.meta(room), keys.idempotency(room, "", "ann", "k5"))
    ]
    assert [TTL_S - 5 < ttls[0] <= TTL_S, META_TTL_S - 5 < ttls[1] <= META_TTL_S, 45 < ttls[2] <= 50] == [
        True
    ] * 3


async def test_a_message_bears_the_stores_time_and_the_entry_is_the_old_services_json(
    store: PrimaryCommands, client: redis.Redis, room: str
) -> None:
    before_ms = await store_time_ms(client)
    await publish(store, room, 'Zoë "Z" 茶')
    (at_ms,) = await times(client, room)
    assert before_ms <= at_ms <= await store_time_ms(client)
    assert await client.lrange(keys.history(room), 0, -1) == [entry('Zoë "Z" 茶', "ann", at_ms)]


@pytest.mark.parametrize("spelling", ['"__createdtime__":%d}', '"__createdtime__": %d} '])
async def test_a_message_is_never_older_than_the_one_before_it(
    store: PrimaryCommands, client: redis.Redis, room: str, spelling: str
) -> None:
    """A worker of an older version, whose host is ahead, wrote the last one; or the clock of Redis was set."""
    ahead_ms = await store_time_ms(client) + 5000
    await client.rpush(keys.history(room), '{"message":"old","username":"bob",' + spelling % ahead_ms)
    await publish(store, room, "m1")
    await publish(store, room, "m2")
    assert await times(client, room) == [ahead_ms] * 3
    await client.hset(keys.meta(room), "last", ahead_ms + 5000)
    await publish(store, room, "m3")
    assert (await times(client, room))[-1] == ahead_ms + 5000


@pytest.mark.parametrize(
    "stored", ["text", '{"__createdtime__":"7"}', '{"__createdtime__":99999999999999999}', "{ }"]
)
async def test_a_time_that_was_no_clocks_is_not_adopted(
    store: PrimaryCommands, client: redis.Redis, room: str, stored: str
) -> None:
    await client.rpush(keys.history(room), stored)
    await publish(store, room, "m1")
    at_ms = json.loads((await client.lrange(keys.history(room), -1, -1))[0])["__createdtime__"]
    assert abs(at_ms - await store_time_ms(client)) < 60_000


@pytest.mark.parametrize("is_read_first", [False, True])
async def test_a_room_of_the_old_service_expires_from_the_first_message_on(
    store: PrimaryCommands, client: redis.Redis, room: str, is_read_first: bool
) -> None:
    await client.rpush(keys.history(room), entry("old", "bob", await store_time_ms(client)))
    if is_read_first:
        await Histories(store, 600).snapshot(room)
    await publish(store, room, "m1")
    assert TTL_S - 5 < await client.ttl(keys.history(room)) <= TTL_S


async def test_a_busy_room_gets_its_time_to_live_again_before_a_hundredth_of_it_is_over(
    store: PrimaryCommands, client: redis.Redis, room: str
) -> None:
    await publish(store, room, "m1")
    await client.expire(keys.history(room), 50)
    await client.expire(keys.meta(room), 50)
    last = int(await client.hget(keys.meta(room), "last") or 0)
    await client.hset(keys.meta(room), "last", last - 1000)  # a hundredth of TTL_S
    await publish(store, room, "m2")
    assert await client.ttl(keys.history(room)) > TTL_S - 5
    assert await client.ttl(keys.meta(room)) > META_TTL_S - 5
    await client.delete(keys.history(room))
    await publish(store, room, "m3")
    assert await client.ttl(keys.history(room)) > TTL_S - 5, "a list that is new again"


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


async def test_a_key_of_another_content_stores_and_tells_nothing(
    store: PrimaryCommands, client: redis.Redis, room: str
) -> None:
    first = await publish(store, room, "m1", key="k")
    before = await client.dump(keys.history(room)), await client.hgetall(keys.meta(room))
    with pytest.raises(KeyReused):
        await publish(store, room, "m2", key="k")
    assert (await client.dump(keys.history(room)), await client.hgetall(keys.meta(room))) == before
    assert await publish(store, room, "m1", key="k") == first, "the first one is still known"


async def test_two_senders_may_have_the_same_key(
    store: PrimaryCommands, client: redis.Redis, room: str
) -> None:
    mine = await publish(store, room, "m", key="k", sender="ann")
    yours = await publish(store, room, "m", key="k", sender="eve")
    assert (mine, yours) == (Position("e1", 1), Position("e1", 2))


async def test_what_a_gateway_stored_that_did_not_look_at_senders_is_honoured(
    store: PrimaryCommands, client: redis.Redis, room: str
) -> None:
    await publish(store, room, "m1")
    await client.set(keys.older_idempotency(room, "k"), "e1:1", ex=50)
    assert await publish(store, room, "m1", key="k") == Position("e1", 1)
    assert await texts(client, room) == ["m1"]
    assert 45 < await client.ttl(keys.older_idempotency(room, "k")) <= 50


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
    await client.hset(keys.meta(room), mapping={"epoch": "e1", "seq": 4})
    with pytest.raises(StoreRefused, match="WRONGTYPE"):
        await publish(store, room, "m")
    assert await client.hget(keys.meta(room), "seq") == b"4", "no number was given"
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
            assert json.loads(stored)["message"] == f"m{seq}"


@pytest.mark.parametrize(
    ("wanted", "first"),
    [(7, 7), (10, 10), (8, 8), (11, 5), (1, 5), (4, 5), (0, 5)],
)
async def test_a_snapshot_holds_entries_from_the_wanted_one_on(
    store: PrimaryCommands, room: str, wanted: int, first: int
) -> None:
    for number in range(1, 11):
        await publish(store, room, f"m{number}", kept=6)
    histories = Histories(store, 600)
    snapshot = await histories.snapshot(room, Observed(Position("e1", 10)), Position("e1", wanted))
    assert [seq for seq, _ in snapshot.after(0)] == list(range(first, 11))
    assert [json.loads(stored)["message"] for stored in snapshot.entries][-1] == "m10"
    assert snapshot.from_seq == (wanted if 0 < wanted <= 10 else 0)
    other = await histories.snapshot(room, Observed(Position("e1", 10)), Position("e9", 9))
    lost = await histories.snapshot(room, Observed(Position("e1", 99)), Position("e1", 9))
    assert (len(other.entries), len(lost.entries), lost.from_seq) == (6, 6, 0), "another epoch says nothing"
