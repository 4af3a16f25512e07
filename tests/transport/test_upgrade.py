"""A WebSocket that knocks at a polling session: what it may say, and what its failure does to the session."""

from __future__ import annotations

import asyncio
import socket as sockets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from gateway.settings import EngineOptions
from gateway.transport.connection import WebSocketConnection
from gateway.transport.server import EngineServer
from gateway.transport.socket import EngineSocket
from gateway.transport.upgrade import WebSocketReceiver
from gateway.websocket.frames import TEXT, FrameParser
from tests.support.client_frames import FINAL_BINARY, FINAL_TEXT, client_frame
from tests.support.waiting import until
from tests.transport.test_connection import Above, Pair

OPTIONS = EngineOptions(worker="w")


@dataclass
class Knock:
    """A polling session, the WebSocket that would take it over, and what the session's end was called."""

    engine: EngineServer
    session: EngineSocket
    websocket: WebSocketConnection
    client: Pair
    ends: list[str]
    heard: list[str]

    def says(self, *packets: bytes) -> None:
        self.client.sends(*(client_frame(FINAL_TEXT, packet) for packet in packets))

    async def is_probed(self) -> None:
        self.says(b"2probe")
        assert await self.client.frame() == (TEXT, b"3probe")

    async def is_polling(self) -> None:
        """Polling goes on as if nothing had been."""
        await until(lambda: self.session.websocket is None, what="the WebSocket is given up")
        assert not self.session.closed
        assert not self.session.upgrading
        self.session.send_text(b"4go on")
        assert (await self.session.poll()).endswith(b"4go on")


@asynccontextmanager
async def knocking(engine: EngineServer, session: EngineSocket) -> AsyncIterator[Knock]:
    """A WebSocket at a session, on a real connection."""
    ends: list[str] = []
    heard: list[str] = []

    async def ended(sid: str, reason: str) -> None:
        ends.append(reason)

    async def message(sid: str, data: str) -> None:
        heard.append(data)

    engine.on("disconnect", ended)
    engine.on("message", message)
    ours, theirs = sockets.socketpair()
    receiver = WebSocketReceiver(engine)
    websocket = WebSocketConnection(receiver, FrameParser(1000), None, 4000)
    transport, _ = await asyncio.get_running_loop().create_connection(lambda: websocket, sock=ours)
    websocket.adopt(transport, 1000)
    receiver.socket, session.websocket = session, websocket
    engine.times.watch_upgrade(websocket)
    reader, writer = await asyncio.open_connection(sock=theirs)
    websocket.start(b"")
    yield Knock(engine, session, websocket, Pair(Above(), websocket, reader, writer), ends, heard)
    websocket.abort()
    writer.transport.abort()
    await until(lambda: websocket.transport is None, what="the connection is gone")


def polling(engine: EngineServer) -> EngineSocket:
    session = engine.sockets["w.sid"] = EngineSocket(engine, "w.sid")
    return session


@pytest.fixture
async def knock() -> AsyncIterator[Knock]:
    engine = EngineServer(OPTIONS)
    async with knocking(engine, polling(engine)) as knock:
        yield knock
    await engine.shutdown()


async def test_after_probe_and_upgrade_the_websocket_is_the_session(knock: Knock) -> None:
    knock.session.send_text(b"4waited")
    await knock.is_probed()
    knock.says(b"5", b"4hello")
    assert await knock.client.frame() == (TEXT, b"4waited")
    await until(lambda: knock.heard == ["hello"], what="what came right behind the upgrade")
    knock.session.send_text(b"4answer")
    assert await knock.client.frame() == (TEXT, b"4answer")


@pytest.mark.parametrize(
    "packets",
    [[b"5"], [b"2"], [b"2probe!"], [b"4hello"], [b"2probe", b"4hello"], [b"2probe", b"3"], [b""]],
    ids=lambda packets: " ".join(map(repr, packets)),
)
async def test_anything_else_closes_the_websocket_and_not_the_session(
    knock: Knock, packets: list[bytes]
) -> None:
    knock.says(*packets)
    for _ in packets[1:]:
        assert await knock.client.frame() == (TEXT, b"3probe")
    assert await knock.client.close_code() == 1002
    knock.client.writer.close()
    await knock.is_polling()
    assert (knock.heard, knock.ends) == ([], [])


async def test_a_binary_probe_is_none(knock: Knock) -> None:
    knock.client.sends(client_frame(FINAL_BINARY, b"2probe"))
    assert await knock.client.close_code() == 1002


async def test_a_websocket_that_goes_away_before_the_upgrade_leaves_the_session(knock: Knock) -> None:
    await knock.is_probed()
    knock.client.writer.transport.abort()
    await knock.is_polling()
    assert knock.ends == []


async def test_one_that_goes_away_after_it_ends_the_session(knock: Knock) -> None:
    await knock.is_probed()
    knock.says(b"5")
    await until(lambda: knock.session.upgraded, what="the upgrade")
    knock.client.writer.transport.abort()
    await until(lambda: knock.ends == ["transport close"], what="the end is announced")
    assert knock.session.closed
    assert knock.engine.sockets == {}


async def test_one_that_does_not_finish_in_time_is_closed_and_polling_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.transport.heartbeats.UPGRADE_S", 0.2)
    engine = EngineServer(OPTIONS)
    async with knocking(engine, polling(engine)) as knock:
        await knock.is_probed()
        assert await knock.client.close_code() == 1000
        knock.client.writer.close()
        await knock.is_polling()
    await engine.shutdown()


async def test_a_late_end_of_the_first_attempt_does_not_harm_the_second(knock: Knock) -> None:
    await knock.is_probed()
    async with knocking(knock.engine, knock.session) as second:
        await second.is_probed()
        knock.client.writer.transport.abort()
        await until(lambda: knock.websocket.transport is None, what="the first is gone")
        second.says(b"5", b"4hello")
        await until(lambda: second.heard == ["hello"], what="the second is the session")
        assert not knock.session.closed
