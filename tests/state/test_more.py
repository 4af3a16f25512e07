"""What is kept of messages beside their three fields, by publish.lua and snapshot.lua against a real server."""

from __future__ import annotations

import json

import pytest
import redis.asyncio as redis

from gateway import keys
from gateway.errors import StoreError
from gateway.option_groups import PublishOptions
from gateway.protocol import Position, entry_head
from gateway.redis.commands import PrimaryCommands
from gateway.rooms.publish_commands import Once
from gateway.rooms.publisher import Publisher
from gateway.rooms.room import Room
from gateway.rooms.routes import RoomRoute
from gateway.state.history import Histories, Snapshot
from gateway.state.keeping import KeptAlike
from gateway.state.more import BYTES_MAX, Change, changes_of, more_of
from tests.support.waiting import until

USER = b'"user":"ada"'
BOTH = b'"user":"ada","meta":{"a":[1]}'
KEPT = 4


class Writer:
    """Publishes to one room, and looks at what the store has of it."""

    def __init__(self, store: PrimaryCommands, client: redis.Redis, room: str, kept: int = KEPT) -> None:
        self.options = PublishOptions(history_messages=kept)
        kept_by_rule = KeptAlike(self.options)
        self._publisher = Publisher(store, RoomRoute(), PublishOptions(), keeping=kept_by_rule)
        self._client = client
        self._histories = Histories(store, 60, keeping=kept_by_rule)
        self.name = room
        self.room = Room(room, keys.live(room), lambda opened: None)

    async def says(self, text: str, more: bytes = b"", once: Once | None = None) -> str:
        results: list[str | StoreError] = []
        self._publisher.publish(self.room, entry_head(text, "ann"), once, results.append, None, more)
        await until(lambda: bool(results), 3, "the message is stored")
        assert isinstance(results[0], str)
        return results[0]

    async def kept(self) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = await self._client.hgetall(keys.more(self.name))  # type: ignore[assignment]
        found.pop(b"layout", None)
        return found

    async def snapshot(self) -> Snapshot:
        return await self._histories.snapshot(self.name)


@pytest.fixture
def writer(store: PrimaryCommands, client: redis.Redis, room: str) -> Writer:
    return Writer(store, client, room)


async def test_who_sent_and_what_was_said_of_it_is_kept_beside_the_list_and_read_with_it(
    writer: Writer, client: redis.Redis
) -> None:
    await writer.says("one")
    await writer.says("two", BOTH)
    await writer.says("three", USER)
    stored = [json.loads(entry) for entry in await client.lrange(keys.history(writer.name), 0, -1)]
    assert [sorted(entry) for entry in stored] == [["__createdtime__", "message", "username"]] * 3
    assert await writer.kept() == {b"2": b"{" + BOTH + b"}", b"3": b"{" + USER + b"}"}
    assert dict((await writer.snapshot()).more) == {2: b"," + BOTH, 3: b"," + USER}


async def test_a_room_without_it_has_no_such_key_and_no_word_of_it(
    writer: Writer, client: redis.Redis
) -> None:
    for number in range(KEPT + 2):
        await writer.says(str(number))
    assert await writer.kept() == {}
    assert await client.hget(keys.meta(writer.name), "more") is None
    assert dict((await writer.snapshot()).more) == {}


async def test_it_goes_with_its_entry_sixteen_at_a_time(writer: Writer) -> None:
    for number in range(3):
        await writer.says(str(number), USER)
    for number in range(30):
        await writer.says(str(number))
    assert await writer.kept() == {}
    for number in range(100):
        await writer.says(str(number), USER)
        assert len((await writer.snapshot()).more) <= KEPT
    kept = sorted(int(seq) for seq in await writer.kept())
    assert kept == list(range(kept[0], 134))
    assert len(kept) <= KEPT + 16


async def test_a_room_in_which_nobody_says_who_they_are_any_more_pays_nothing_again(
    writer: Writer, client: redis.Redis
) -> None:
    await writer.says("one", USER)
    for number in range(2 * 16 + KEPT):
        await writer.says(str(number))
    assert await client.hget(keys.meta(writer.name), "more") is None
    await writer.says("one", USER)
    assert await client.ttl(keys.more(writer.name)) > 0


async def test_a_room_that_keeps_nothing_shows_nothing_of_it(
    store: PrimaryCommands, client: redis.Redis, room: str
) -> None:
    writer = Writer(store, client, room, kept=0)
    for _ in range(50):
        await writer.says("one", USER)
    assert dict((await writer.snapshot()).more) == {}
    assert len(await writer.kept()) <= 16


async def test_what_gateways_left_that_do_not_know_of_it_is_cleared_away(
    writer: Writer, client: redis.Redis
) -> None:
    await writer.says("one", USER)
    for number in range(100, 200):
        await client.hset(keys.more(writer.name), f"-{number}", "{}")
    for _ in range(200):
        await writer.says("more", USER)
    assert len(await writer.kept()) <= KEPT + 16


async def test_it_expires_with_the_list(writer: Writer, client: redis.Redis) -> None:
    await writer.says("one", USER)
    limit_s = writer.options.history_ttl_s
    assert limit_s - 5 <= await client.ttl(keys.more(writer.name)) <= limit_s
    await client.delete(keys.history(writer.name), keys.more(writer.name))
    await writer.says("two", USER)
    assert limit_s - 5 <= await client.ttl(keys.more(writer.name)) <= limit_s


async def test_what_was_left_of_another_position_is_not_shown(writer: Writer, client: redis.Redis) -> None:
    for _ in range(2):
        await writer.says("one", USER)
    await client.delete(keys.meta(writer.name), keys.history(writer.name))
    await writer.says("anew")
    assert dict((await writer.snapshot()).more) == {}
    await writer.says("anew", BOTH)
    assert dict((await writer.snapshot()).more) == {2: b"," + BOTH}


async def test_a_repeated_message_says_nothing_more(writer: Writer) -> None:
    once = Once("ada", "ann", "k", "one")
    first = await writer.says("one", USER, once)
    assert await writer.says("one", BOTH, once) == first
    assert await writer.kept() == {b"1": b"{" + USER + b"}"}


async def test_where_others_write_the_list_too_nothing_is_said_of_its_entries(
    writer: Writer, client: redis.Redis
) -> None:
    await writer.says("one", USER)
    await client.rpush(keys.history(writer.name), '{"message":"x","username":"old","__createdtime__":1}')
    snapshot = await writer.snapshot()
    assert (len(snapshot.entries), dict(snapshot.more)) == (2, {})


async def test_members_hear_it_behind_the_id(writer: Writer, client: redis.Redis) -> None:
    listening = client.pubsub()
    await listening.subscribe(writer.room.channel)
    await listening.get_message(timeout=10)
    await writer.says("one", BOTH)
    heard: list[bytes] = []

    async def message() -> bool:
        brought = await listening.get_message(ignore_subscribe_messages=True, timeout=0.05)
        heard.extend([] if brought is None else [brought["data"]])
        return bool(heard)

    await until(message, what="the message is heard")
    head, _, data = heard[0].partition(b" ")
    position = Position.parse(head.decode())
    assert data.endswith(b',"id":"%b",%b}' % (str(position).encode(), BOTH))
    await listening.aclose()  # type: ignore[no-untyped-call]


async def test_with_a_change_all_entries_are_read_though_fewer_are_wanted(
    writer: Writer, client: redis.Redis, store: PrimaryCommands
) -> None:
    for number in range(3):
        await writer.says(str(number), USER)
    await client.hset(keys.meta(writer.name), "more", "2")
    await client.hset(
        keys.more(writer.name), "2", b'{"user":"ada","changed":{"kind":"edited","by":"eve","at":7}}'
    )
    epoch = (await writer.snapshot()).epoch
    snapshot = await Histories(store, 60).snapshot(writer.name, wanted=Position(epoch, 3))
    assert (len(snapshot.entries), snapshot.from_seq) == (3, 0)
    assert dict(snapshot.changes) == {2: Change("edited", "eve", 7)}
    for _ in range(KEPT):
        await writer.says("later")
    snapshot = await Histories(store, 60).snapshot(writer.name, wanted=Position(epoch, 7))
    assert (len(snapshot.entries), dict(snapshot.changes)) == (1, {}), "the change was trimmed"


@pytest.mark.parametrize(
    "value", [b"", b"[]", b"{", b"7", b"{}", b" { } ", b"\xff", b'{"a":' + b"1" * BYTES_MAX + b"}"], ids=repr
)
def test_what_is_no_object_is_left_out(value: bytes) -> None:
    assert dict(more_of([b"1", value, b"x", b'{"a":1}', b"2", b'{"b":2}'], 1)) == {2: b',"b":2'}


@pytest.mark.parametrize(
    "members",
    [
        b',"meta":{"changed":{"kind":"edited","by":"x","at":1}}',
        b',"changed":7',
        b',"changed":{"kind":"edited"}',
        b',"changed":{"kind":1,"by":"x","at":1}',
    ],
)
def test_what_only_looks_like_a_change_is_none(members: bytes) -> None:
    assert changes_of({1: members}) == {}
