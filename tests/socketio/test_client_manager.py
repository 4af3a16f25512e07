"""python-socketio's shared channel on our own connections: what other processes say reaches the members here."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest
import socketio

from gateway.rooms.member import Member
from gateway.settings import EngineOptions
from gateway.socketio.client_manager import ClientManager
from gateway.socketio.server import SocketServer
from tests.support.chat_worker import ChatWorker, chat_worker
from tests.support.recorder import Recorder
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
        self.client_manager.serve(worker.store, worker.hub)

    async def connect(self, namespace: str = "/") -> tuple[str, Recorder]:
        """A client: its session id and what it gets."""
        recorder, eio_sid = Recorder(), uuid.uuid4().hex
        self.sio.eio.sockets[eio_sid] = recorder
        recorder.sid = eio_sid
        sid = await self.client_manager.pre_connect(eio_sid, namespace)
        assert sid is not None
        await self.client_manager.connect(sid, namespace)
        return sid, recorder

    def enter_chat_room(self, sid: str, recorder: Recorder, room: str) -> None:
        opened = self.worker.hub.room(room)
        opened.add(Member(opened, sid, recorder, "ann"))


def events(recorder: Recorder) -> list[object]:
    return [orjson.loads(packet[2:]) for packet in recorder.packets]


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


async def test_nonsense_on_the_channel_is_passed_over(
    here: Here, elsewhere: socketio.AsyncRedisManager, room: str
) -> None:
    sid, ann = await here.connect()
    here.enter_chat_room(sid, ann, room)
    for payload in ("", "nonsense", "[]", "{}", '{"method":"emit"}', '{"method":"fly"}', "null", "7"):
        await here.worker.store.call(b"socketio", "PUBLISH", "socketio", payload)
    await elsewhere.emit("news", 1, namespace="/", room=room)
    await until(lambda: events(ann) == [["news", 1]], what="it goes on")


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
