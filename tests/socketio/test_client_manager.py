"""python-socketio's shared channel on our own connections: what other processes say reaches the members here."""

from __future__ import annotations

import asyncio
import pickle
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
import socketio
from structlog.testing import capture_logs

from gateway import keys
from gateway.metrics import emits_refused
from gateway.option_groups import EngineOptions
from gateway.rooms.member import Member
from gateway.rooms.routes import SharedRoute
from gateway.socketio.client_manager import ClientManager
from gateway.socketio.server import SocketServer
from tests.support.chat_worker import ChatWorker, ClientRecorder, chat_worker
from tests.support.recorder import Recorder
from tests.support.servers import Valkey
from tests.support.waiting import stays, until


class Here:
    """A worker's Socket.IO server, with clients that are recorders."""

    def __init__(self, worker: ChatWorker) -> None:
        self.worker = worker
        self.client_manager = ClientManager()
        self.sio = SocketServer(
            options=EngineOptions(worker=worker.name), client_manager=self.client_manager, namespaces=["/"]
        )
        worker.client_manager = self.client_manager
        self.client_manager.serve(worker.store, worker.hub, worker.chat)

    async def connect(self, namespace: str = "/") -> tuple[str, ClientRecorder]:
        """A client: its session id and what it gets."""
        recorder, eio_sid = ClientRecorder(), uuid.uuid4().hex
        self.sio.eio.sockets[eio_sid] = recorder
        recorder.sid = eio_sid
        sid = await self.client_manager.pre_connect(eio_sid, namespace)
        assert sid is not None
        await self.client_manager.connect(sid, namespace)
        return sid, recorder

    async def join(self, room: str, username: str) -> tuple[str, ClientRecorder]:
        """A client that has joined a chat room."""
        sid, recorder = await self.connect()
        joining = self.worker.chat.open(sid, recorder).on_event(
            "join", [{"username": username, "room": room}], 1
        )
        assert joining is not None
        await joining
        return sid, recorder

    def enter_chat_room(self, sid: str, recorder: Recorder, room: str) -> None:
        opened = self.worker.hub.room(room)
        opened.add(Member(opened, sid, recorder, "ann"))


def events(recorder: Recorder) -> list[Any]:
    return [orjson.loads(packet[2:]) for packet in recorder.packets if packet.startswith(b"42")]


def notices(recorder: Recorder) -> list[str]:
    return [data["message"] for name, data in events(recorder) if name == "receive" and "id" not in data]


@asynccontextmanager
async def here_on(redis_url: str) -> AsyncIterator[Here]:
    async with chat_worker(redis_url) as worker:
        here = Here(worker)
        try:
            yield here
        finally:
            await here.client_manager.close()


@pytest.fixture
async def here(redis_url: str) -> AsyncIterator[Here]:
    async with here_on(redis_url) as here:
        yield here


@pytest.fixture
async def elsewhere(redis_url: str) -> AsyncIterator[socketio.AsyncRedisManager]:
    """Another process's stock manager that only writes."""
    manager = socketio.AsyncRedisManager(redis_url, write_only=True)
    yield manager
    await manager.redis.aclose()


async def test_an_emit_to_a_chat_room_reaches_its_members_everywhere(
    here: Here, elsewhere: socketio.AsyncRedisManager, redis_url: str, room: str
) -> None:
    async with here_on(redis_url) as there:
        sid, ann = await here.connect()
        here.enter_chat_room(sid, ann, room)
        sid, ben = await there.connect()
        there.enter_chat_room(sid, ben, room)
        await elsewhere.emit("news", {"n": 1}, namespace="/", room=room)
        await until(lambda: events(ann) == events(ben) == [["news", {"n": 1}]], what="both get it")


@pytest.mark.parametrize(
    ("data", "arguments"), [(None, []), ("x", ["x"]), (("a", 1), ["a", 1]), ([1, 2], [[1, 2]]), ({}, [{}])]
)
async def test_the_arguments_are_those_that_stock_servers_send(
    here: Here, elsewhere: socketio.AsyncRedisManager, room: str, data: object, arguments: list[object]
) -> None:
    sid, ann = await here.connect()
    here.enter_chat_room(sid, ann, room)
    await elsewhere.emit("news", data, namespace="/", room=room)
    await until(lambda: ann.packets, what="it arrives")
    assert events(ann) == [["news", *arguments]]


async def test_an_emit_to_one_client_or_past_one_client(
    here: Here, elsewhere: socketio.AsyncRedisManager, room: str
) -> None:
    sid, ann = await here.connect()
    here.enter_chat_room(sid, ann, room)
    other, ben = await here.connect()
    here.enter_chat_room(other, ben, room)
    await elsewhere.emit("one", "x", namespace="/", room=sid)
    await elsewhere.emit("two", "x", namespace="/", room=room, skip_sid=sid)
    await until(lambda: events(ben) == [["two", "x"]], what="past the first")
    assert events(ann) == [["one", "x"]]


async def test_a_client_that_is_in_both_kinds_of_room_gets_it_once(
    here: Here, elsewhere: socketio.AsyncRedisManager, room: str
) -> None:
    sid, ann = await here.connect()
    here.enter_chat_room(sid, ann, room)
    await here.sio.enter_room(sid, room)
    await elsewhere.emit("news", 1, namespace="/", room=room)
    await elsewhere.emit("last", 1, namespace="/", room=room)
    await until(lambda: len(events(ann)) >= 2, what="both arrive")
    assert events(ann) == [["news", 1], ["last", 1]]


async def test_room_changes_from_other_processes_are_followed(
    here: Here, elsewhere: socketio.AsyncRedisManager, room: str
) -> None:
    sid, ann = await here.connect()
    plain = f"plain-{room}"
    await elsewhere.enter_room(sid, "/", plain)
    await until(lambda: plain in here.sio.rooms(sid), what="it entered")
    await elsewhere.emit("news", 1, namespace="/", room=plain)
    await until(lambda: events(ann) == [["news", 1]], what="it gets what is sent there")
    await elsewhere.leave_room(sid, "/", plain)
    await until(lambda: plain not in here.sio.rooms(sid), what="it left")
    await elsewhere.emit("news", 2, namespace="/", room=plain)
    await stays(lambda: len(ann.packets) == 1, 0.1, "nothing more")


async def test_an_emit_of_our_own_reaches_members_elsewhere(here: Here, redis_url: str, room: str) -> None:
    async with here_on(redis_url) as there:
        sid, ann = await there.connect()
        there.enter_chat_room(sid, ann, room)
        sid, ben = await here.connect()
        here.enter_chat_room(sid, ben, room)
        await here.sio.emit("news", {"n": 1}, room=room)
        await until(lambda: events(ann) == events(ben) == [["news", {"n": 1}]], what="both get it, once")


# -- several rooms and clients at once


async def test_an_emit_to_several_rooms_and_clients_reaches_each_member_once(
    here: Here, elsewhere: socketio.AsyncRedisManager, redis_url: str, room: str
) -> None:
    async with here_on(redis_url) as there:
        ann_sid, ann = await here.connect()
        ben_sid, ben = await there.connect()
        eve_sid, eve = await here.connect()
        for chat in (room, f"{room}-2"):
            here.enter_chat_room(ann_sid, ann, chat)
        there.enter_chat_room(ben_sid, ben, f"{room}-2")
        rooms = [room, f"{room}-2", f"{room}-empty"]
        await elsewhere.emit("one", 1, namespace="/", room=rooms)
        await elsewhere.emit("two", 2, namespace="/", to=[ann_sid, ben_sid, "nobody"])
        await elsewhere.emit("three", 3, namespace="/", room=[eve_sid, room], skip_sid=[ann_sid])
        await elsewhere.emit("last", 4, namespace="/")
        wanted = [["one", 1], ["two", 2], ["last", 4]]
        await until(lambda: events(ann) == events(ben) == wanted, what="both get each once")
        await until(lambda: events(eve) == [["three", 3], ["last", 4]], what="the one that is named")


async def test_a_binary_emit_reaches_several_rooms(
    here: Here, elsewhere: socketio.AsyncRedisManager, room: str
) -> None:
    sid, ann = await here.connect()
    here.enter_chat_room(sid, ann, room)
    sent: list[object] = []

    async def keep(eio_sid: str, packet: Any) -> None:
        sent.append((eio_sid, packet.data))

    here.sio._send_eio_packet = keep
    await elsewhere.emit("file", {"data": b"\x01\x02"}, namespace="/", room=[room, f"{room}-2"])
    await until(lambda: len(sent) == 2, what="the packet and its attachment")
    assert sent == [(ann.sid, '51-["file",{"data":{"_placeholder":true,"num":0}}]'), (ann.sid, b"\x01\x02")]


# -- chat rooms whose members are changed from elsewhere


async def test_leave_room_takes_a_member_out_of_the_chat_room_and_tells_it(
    here: Here, elsewhere: socketio.AsyncRedisManager, room: str
) -> None:
    sid, ann = await here.join(room, "ann")
    _, ben = await here.join(room, "ben")
    await elsewhere.leave_room(sid, "/", room)
    await until(lambda: notices(ben)[-1:] == ["ann has left the room"], what="the others are told")
    error = [data for name, data in events(ann) if name == "error"]
    assert [(one["code"], one["room"], one["retryable"]) for one in error] == [("not_joined", room, True)]
    assert await here.worker.users(room) == ["ben"]
    await elsewhere.emit("news", 1, namespace="/", room=room)
    await until(lambda: ["news", 1] in events(ben), what="who stayed")
    assert ["news", 1] not in events(ann)


async def test_close_room_empties_the_chat_room_on_every_worker(
    here: Here, elsewhere: socketio.AsyncRedisManager, redis_url: str, room: str
) -> None:
    async with here_on(redis_url) as there:
        everybody = [
            await here.join(room, "ann"),
            await here.join(room, "ben"),
            await there.join(room, "eve"),
        ]
        other = await here.join(f"{room}-2", "dan")
        await here.sio.enter_room(other[0], room)
        await elsewhere.close_room(room, "/")
        for _, each in everybody:
            await until(lambda each=each: "error" in [name for name, _ in events(each)], what="it is told")
        await until(lambda: not here.worker.hub.rooms[room].members, what="nobody is left here")

        async def is_empty() -> bool:
            return await here.worker.users(room) == []

        await until(is_empty, what="nobody is left in the store")
        assert room not in here.sio.rooms(other[0]), "python-socketio's own room is closed too"
        assert await here.worker.users(f"{room}-2") == ["dan"]


async def test_a_change_for_somebody_or_some_room_that_is_not_here_does_nothing(
    here: Here, elsewhere: socketio.AsyncRedisManager, room: str
) -> None:
    sid, ann = await here.join(room, "ann")
    await elsewhere.leave_room("nobody", "/", room)
    await elsewhere.leave_room(sid, "/", f"{room}-2")
    await elsewhere.leave_room(sid, "/elsewhere", room)
    await elsewhere.close_room(f"{room}-2", "/")
    await elsewhere.close_room(sid, "/")
    await elsewhere.can_disconnect("nobody", "/")
    await elsewhere.emit("news", 1, namespace="/", room=room)
    await until(lambda: ["news", 1] in events(ann), what="it is still there")
    assert "error" not in [name for name, _ in events(ann)]


# -- what cannot be read or done


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (b"", "not_a_message"),
        (b"nonsense", "not_a_message"),
        (b"\xff\xfe\x00", "not_a_message"),
        (b"[]", "not_a_message"),
        (b"{}", "not_a_message"),
        (b"null", "not_a_message"),
        (b"7", "not_a_message"),
        (b'{"method":7}', "not_a_message"),
        (b'{"method":"fly"}', "not_a_message"),
        (b'{"method":"__init__"}', "not_a_message"),
        (b"{" * 10_000, "not_a_message"),
        *(
            (pickle.dumps({"method": "emit", "event": "news"}, protocol), "pickle")
            for protocol in (2, 3, 4, 5)
        ),
        (b"\x82\xa6method\xa4emit\xa5event\xa4news", "msgpack"),
        (b"\x93\xa9emitter01\x83\xa4type\x02\xa4data\x91\xa4news\xa3nsp\xa1/\xc0", "msgpack"),
        *(
            (payload, "malformed")
            for payload in (
                b'{"method":"emit"}',
                b'{"method":"emit","event":null}',
                b'{"method":"emit","event":["a"]}',
                b'{"method":"emit","event":"x","room":{"a":1}}',
                b'{"method":"emit","event":"x","room":[["a"]]}',
                b'{"method":"emit","event":"x","namespace":7}',
                b'{"method":"emit","event":"x","skip_sid":{}}',
                b'{"method":"emit","event":"x","callback":7}',
                b'{"method":"emit","event":"x","callback":["a"]}',
                b'{"method":"emit","event":"x","binary":true}',
                b'{"method":"emit","event":"x","binary":true,"data":[{"_placeholder":true,"num":3}]}',
                b'{"method":"emit","event":"x","binary":true,"data":["x","no base64!"]}',
                b'{"method":"disconnect"}',
                b'{"method":"disconnect","sid":[]}',
                b'{"method":"enter_room","sid":"s"}',
                b'{"method":"leave_room","room":"r"}',
                b'{"method":"leave_room","sid":"s","room":["r"]}',
                b'{"method":"close_room"}',
                b'{"method":"close_room","room":{}}',
                b'{"method":"callback","sid":"s","host_id":"h"}',
            )
        ),
    ],
)
async def test_what_cannot_be_done_is_counted_by_its_kind_and_spoils_itself_alone(
    here: Here, elsewhere: socketio.AsyncRedisManager, room: str, payload: bytes, kind: str
) -> None:
    sid, ann = await here.connect()
    here.enter_chat_room(sid, ann, room)
    before = dict(emits_refused.samples())
    with capture_logs() as logs:
        for _ in range(3):
            await here.worker.store.call(b"socketio", "PUBLISH", "socketio", payload)
        await elsewhere.emit("news", 1, namespace="/", room=room)
        await until(lambda: events(ann) == [["news", 1]], what="it goes on")
    grown = {
        label: number - before[label] for label, number in emits_refused.samples() if number > before[label]
    }
    assert grown == {(kind,): 3}
    (line,) = logs
    assert (line["event"], line["log_level"], line["kind"]) == ("emit_refused", "warning", kind)
    assert "exc_info" not in line


async def test_nodes_adapters_are_noticed_on_their_own_channels(here: Here, room: str) -> None:
    """Channels as @socket.io/redis-emitter 5.1 and @socket.io/redis-adapter 8.3 name them."""
    await here.client_manager.watch_for_others(here.worker.pubsub)
    before = emits_refused.value
    channels = ("socket.io#/#", f"socket.io#/#{room}#", "socket.io#/#{x}#", "socket.io-request#/#")
    with capture_logs() as logs:
        for number, channel in enumerate(channels, 1):
            await here.worker.store.call(channel.encode(), "PUBLISH", channel, b"\x93\xa3uid\x80\x80")
            await until(lambda number=number: emits_refused.value >= before + number, what="it is counted")
            assert emits_refused.value == before + number, "once"
    assert [line["kind"] for line in logs] == ["socketio_redis_adapter"]


@pytest.mark.system
async def test_a_redis_that_forbids_the_channels_of_nodes_adapters_is_listened_to_all_the_same(
    server: Valkey, room: str
) -> None:
    allowed = ("&socketio", "&gateway:*", "&{chat_history_*")
    await server.ask("ACL", "SETUSER", "chat", "on", ">word", "~*", "+@all", "resetchannels", *allowed)
    async with here_on(server.url.replace("redis://", "redis://chat:word@")) as here:
        pubsub = here.worker.pubsub
        await here.client_manager.watch_for_others(pubsub, within_s=0.3)
        await until(lambda: pubsub.unhealthy_reason is None, what="it listens to the others again")
        assert not set(keys.NODE_CHANNELS) & set(pubsub._subscriber.subscriptions.channels())
        sid, ann = await here.connect()
        here.enter_chat_room(sid, ann, room)
        news = {"method": "emit", "event": "news", "room": room}
        await server.ask("PUBLISH", "socketio", orjson.dumps(news))
        await until(lambda: events(ann) == [["news"]], what="it hears what it may")


async def test_what_gateways_tell_each_other_on_a_shared_route_is_no_fault(
    here: Here, elsewhere: socketio.AsyncRedisManager, room: str
) -> None:
    sid, ann = await here.connect()
    here.enter_chat_room(sid, ann, room)
    before = emits_refused.value
    await here.worker.store.call(b"socketio", "PUBLISH", "socketio", SharedRoute().position("tea", "e1:7"))
    await elsewhere.emit("news", 1, namespace="/", room=room)
    await until(lambda: events(ann) == [["news", 1]], what="it goes on")
    assert emits_refused.value == before


async def test_rooms_of_a_client_are_forgotten_when_it_disconnects(here: Here, room: str) -> None:
    sid, ann = await here.connect()
    here.enter_chat_room(sid, ann, room)
    for number in range(3):
        await here.sio.enter_room(sid, f"{room}-{number}")
    assert sorted(here.sio.rooms(sid)) == sorted([sid, room, *(f"{room}-{number}" for number in range(3))])
    await here.client_manager.disconnect(sid, "/", ignore_queue=True)
    assert not here.client_manager.is_connected(sid, "/")
    assert here.client_manager._entered == {}
    assert all(f"{room}-{number}" not in here.client_manager.rooms.get("/", {}) for number in range(3))


async def test_a_second_connect_of_the_same_session_is_refused(here: Here) -> None:
    assert await here.client_manager.pre_connect("one", "/") is not None
    assert await here.client_manager.pre_connect("one", "/") is None


async def test_closing_ends_the_listening(here: Here) -> None:
    await here.client_manager.close()
    await here.client_manager.close()
    assert isinstance(here.client_manager.thread, asyncio.Task)
    assert here.client_manager.thread.done()
