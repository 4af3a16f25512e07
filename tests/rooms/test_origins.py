"""On a Cluster a channel brings what any node of the shard stored: two may take themselves for its primary."""

from __future__ import annotations

import pytest
import redis.asyncio as redis

from gateway import keys
from gateway.errors import StoreError
from gateway.option_groups import PublishOptions
from gateway.protocol import Position, entry_head
from gateway.redis.cluster.commands import ClusterCommands
from gateway.redis.server_watch import ServerWatch
from gateway.rooms.payloads import Arrived, parse_payload
from gateway.rooms.publisher import Publisher
from gateway.rooms.room import Room
from gateway.rooms.routes import ClusterRoute
from gateway.state.history import Histories, Snapshot
from tests.support import topologies
from tests.support.recorder import live_member
from tests.support.redis_limits import LIMITS
from tests.support.room_by_hand import RoomByHand, stored, text
from tests.support.waiting import until


def at_new() -> RoomByHand:
    """A room at seq 2 that the node `new` numbers."""
    hand = RoomByHand()
    hand.room.request()
    hand.comes(stored(2), origin="new")
    hand.source.reads = 0
    return hand


def test_what_the_rooms_own_node_stored_follows() -> None:
    hand = at_new()
    _, ann = live_member(hand.room)
    hand.hears(3, 4, origin="new")
    assert (ann.texts(), ann.writes, hand.reads) == (["a3", "a4"], 1, 0)


def test_what_another_node_stored_under_the_next_number_is_not_delivered_but_looked_into() -> None:
    hand = at_new()
    _, ann = live_member(hand.room)
    hand.hears(3, 4, origin="old")
    assert (ann.texts(), hand.reads) == ([], 1)
    hand.comes(Snapshot("a", 3, [text(1), text(2), text(3, mark="!")]), origin="new")
    assert ann.texts() == ["a3!"]
    hand.hears(4, origin="new")
    assert ann.texts() == ["a3!", "a4"]


def test_what_another_node_stored_while_the_history_is_read_is_read_again_for_not_delivered() -> None:
    hand = at_new()
    _, ann = live_member(hand.room)
    hand.room.server_left(0.0)
    hand.room.request()
    hand.hears(3, origin="new")
    hand.hears(3, origin="newest")
    hand.comes(stored(2), origin="newest")
    assert (ann.texts(), hand.reads) == (["a3"], 2)
    hand.comes(stored(3), origin="newest")
    assert ann.texts() == ["a3"]


def test_messages_that_say_no_origin_follow_as_ever() -> None:
    """Older gateways on the same Cluster, and users of Redis who may not ask for a node's id."""
    hand = at_new()
    _, ann = live_member(hand.room)
    hand.hears(3, 4)
    assert (ann.texts(), hand.reads) == (["a3", "a4"], 0)


def test_who_joins_gets_what_live_members_got_and_nothing_that_was_only_heard() -> None:
    hand = at_new()
    live_member(hand.room)
    hand.room.request()
    hand.hears(3, origin="new")
    hand.hears(4, origin="old")
    assert [seq for seq, _ in hand.room.reading.packets_after(Position("a", 2))] == [3]


def test_a_room_without_members_is_not_set_back_by_an_older_snapshot() -> None:
    """Who joins would get the message after the snapshot, and once more when the next one comes."""
    hand = RoomByHand().at(2)
    hand.room.joining = 1
    hand.room.request()
    hand.hears(3)
    hand.comes(stored(2))
    assert hand.room.position == Position("a", 3)


@pytest.mark.system
async def test_a_clusters_messages_say_which_node_stored_them(room: str) -> None:
    async with topologies.cluster(persistence="none") as cluster:
        store = ClusterCommands(cluster.url, ServerWatch(), "test-origins", LIMITS)
        await store.start(10)
        owner = await cluster.owner(await cluster.slot_of(room))
        client = redis.Redis.from_url(owner.url)
        listening = client.pubsub()
        await listening.ssubscribe(keys.live(room))
        answers: list[str | StoreError] = []
        opened = Room(room, keys.live(room), lambda opened: None)
        publisher = Publisher(store, ClusterRoute(), PublishOptions())
        publisher.publish(opened, entry_head("hello", "ann"), None, answers.append)
        await until(lambda: answers, what="an answer")
        assert isinstance(answers[0], str)
        heard: list[bytes] = []

        async def message() -> bool:
            brought = await listening.get_message(ignore_subscribe_messages=True, timeout=0.05)
            heard.extend([] if brought is None else [brought["data"]])
            return bool(heard)

        await until(message, what="the message is heard")
        head, _, data = heard[0].partition(b" ")
        arrived = parse_payload(head, data)
        assert isinstance(arrived, Arrived)
        assert f"{arrived.epoch}:{arrived.seq}" == answers[0]
        assert cluster.ids[owner].startswith(arrived.origin)
        assert arrived.origin == Histories(store, 60).origin(room) != ""
        await listening.aclose()  # type: ignore[no-untyped-call]
        await client.aclose()
        await store.close()
