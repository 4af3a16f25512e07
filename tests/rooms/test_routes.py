"""Routes: what the script really publishes is what the route unwraps, whatever a room is called."""

from __future__ import annotations

import json
import uuid

import orjson
import pytest
import redis.asyncio as redis

from gateway import keys
from gateway.errors import StoreError
from gateway.option_groups import PublishOptions
from gateway.protocol import Position, entry_head, notice_json, receive_json, whole_entry
from gateway.redis.commands import PrimaryCommands
from gateway.rooms.payloads import told_head
from gateway.rooms.publisher import Publisher
from gateway.rooms.room import Room
from gateway.rooms.routes import ClusterRoute, RoomRoute, Route, SharedRoute, route_for
from tests.support.waiting import until

ODD_NAMES = [
    "plain",
    "Räume & mehr – 茶室",
    'quotes " and \\ strokes',
    '"data":[',
    '],"method":"emit"',
    '"]',
    '",',
    "a b:c d",
    "<script>",
    "ends with \\",
]


async def published(
    redis_url: str, store: PrimaryCommands, route: Route, room: str, mark: str
) -> list[tuple[bytes, bytes]]:
    """What the room's channel brings of one message and one notice; `mark` is a part of the room's name that no
    other test has."""
    client = redis.Redis.from_url(redis_url)
    listening = client.pubsub()
    heard: list[tuple[bytes, bytes]] = []
    answers: list[str | StoreError] = []
    try:
        await listening.subscribe(route.channel(room))
        await listening.get_message(timeout=10)
        publisher = Publisher(store, route, PublishOptions())
        opened = Room(room, route.channel(room), lambda opened: None)
        publisher.publish(opened, entry_head('a "text" ]} ', "ann"), None, answers.append)
        notice = notice_json("x has joined the room", "ChatBot", opened.name_json, 7)
        publisher.tell(room, "receive", notice, "sid-1")

        async def both() -> bool:
            message = await listening.get_message(ignore_subscribe_messages=True, timeout=0.05)
            if message is not None and mark.encode() in message["data"]:  # `socketio` is everybody's
                heard.append((message["channel"], message["data"]))
            return len(heard) == 2

        await until(both, what="both are heard")
        assert isinstance(answers[0], str)
        return heard
    finally:
        await listening.aclose()  # type: ignore[no-untyped-call]
        await client.aclose()


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("route", [RoomRoute(), SharedRoute()], ids=["per-room", "shared"])
async def test_a_route_unwraps_what_the_script_published(
    redis_url: str, store: PrimaryCommands, route: Route, name: str
) -> None:
    mark = uuid.uuid4().hex
    room = f"{name} {mark} {name}"
    heard = await published(redis_url, store, route, room, mark)
    message, notice = [route.unwrap(channel, payload) for channel, payload in heard]
    assert message is not None
    assert notice is not None
    channel, payload = message
    head, _, data = payload.partition(b" ")
    position = Position.parse(head.decode())
    assert (channel, position.seq) == (keys.live(room), 1)
    created = str(orjson.loads(data)["__createdtime__"]).encode()
    stored = whole_entry(entry_head('a "text" ]} ', "ann"), created)
    assert data == receive_json(stored, orjson.dumps(room), position)
    head, _, data = notice[1].partition(b" ")
    assert (notice[0], head) == (keys.live(room), b"-sid-1")
    assert json.loads(data)["message"] == "x has joined the room"


async def test_the_shared_form_is_an_emit_that_stock_servers_understand(
    redis_url: str, store: PrimaryCommands, room: str
) -> None:
    (_, message), (_, notice) = await published(redis_url, store, SharedRoute(), room, room)
    emit = json.loads(message)
    assert (emit["method"], emit["event"], emit["namespace"], emit["room"]) == ("emit", "receive", "/", room)
    assert (emit["skip_sid"], emit["callback"], emit["data"][0]["username"]) == (None, None, "ann")
    assert emit["data"][0]["id"] == emit["gateway"][0]
    assert json.loads(notice)["data"][0]["message"] == "x has joined the room"


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("route", [RoomRoute(), SharedRoute()], ids=["per-room", "shared"])
def test_a_route_unwraps_an_event_that_is_told(route: Route, name: str) -> None:
    before, between, after = route.wrapping("signal")
    payload = b"".join(
        (
            before,
            told_head("signal", "sid-1"),
            json.dumps(name).encode().join(between),
            b'{"kind":"typing"}',
            after,
        )
    )
    assert route.unwrap(route.channel(name), payload) == (
        keys.live(name),
        b'!signal:sid-1 {"kind":"typing"}',
    )
    if isinstance(route, SharedRoute):
        assert json.loads(payload)["event"] == "signal"


@pytest.mark.parametrize("payload", [b'{"method":"emit","room":"r"}', b"\x80\x04pickled", b"", b"[]"])
def test_what_other_servers_publish_is_no_rooms_message(payload: bytes) -> None:
    assert SharedRoute().unwrap(keys.SOCKETIO_CHANNEL, payload) is None


def test_a_route_is_chosen_by_name_and_topology() -> None:
    assert type(route_for("auto", False)) is RoomRoute
    assert type(route_for("auto", True)) is ClusterRoute
    assert type(route_for("shared", False)) is SharedRoute
    assert type(route_for("per-room", False)) is RoomRoute
    assert type(route_for("cluster", True)) is ClusterRoute


def test_each_route_has_its_own_verbs() -> None:
    assert (RoomRoute.publish_verb, RoomRoute.subscribe_verb) == (b"PUBLISH", b"SUBSCRIBE")
    assert (ClusterRoute.publish_verb, ClusterRoute.subscribe_verb) == (b"SPUBLISH", b"SSUBSCRIBE")
    assert ClusterRoute().channel("tea") == keys.live("tea")
    assert SharedRoute().channel("tea") == b"socketio"


@pytest.mark.parametrize(
    "payload",
    [
        b'{"gateway":["junk',
        b'{"gateway":["a:1",nope],"method":"emit","data":[{}]}',
        b'{"gateway":["a:1",7],"method":"emit","data":[{}]}',
        b'{"gateway":["a:1","room"],"method":"emit"}',
    ],
)
def test_what_only_begins_like_a_message_is_none(payload: bytes) -> None:
    assert SharedRoute().unwrap(b"socketio", payload) is None
