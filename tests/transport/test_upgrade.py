"""A WebSocket that asks for a polling session: what it may say, and what its failure does to the session."""

from __future__ import annotations

import asyncio
import socket as sockets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from gateway.option_groups import EngineOptions
from gateway.transport.connection import WebSocketConnection
from gateway.transport.frame_writer import as_protocol
from gateway.transport.polling import next_payload
from gateway.transport.server import EngineServer
from gateway.transport.socket import EngineSocket
from gateway.transport.turns import Turns
from gateway.transport.upgrade import UpgradingListener
from gateway.websocket.frames import TEXT, FrameParser
from tests.support.client_frames import FINAL_BINARY, FINAL_TEXT, client_frame
from tests.support.waiting import until
from tests.support.websocket_pairs import ListenerRecorder, Pair

OPTIONS = EngineOptions(worker="w")


@dataclass
class UpgradeAttempt:
    """A polling session, a WebSocket that asks for it, and what is told of both.

    engine      whose session it is
    session     polls so far
    websocket   has sent nothing yet
    client      the WebSocket's other end
    ends        the reason of the session's end, once it was announced
    messages    what the session has received
    """

    engine: EngineServer
    session: EngineSocket
    websocket: WebSocketConnection
    client: Pair
    ends: list[str]
    messages: list[str]

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
        assert (await next_payload(self.session)).endswith(b"4go on")


@asynccontextmanager
async def attempting(engine: EngineServer, session: EngineSocket) -> AsyncIterator[UpgradeAttempt]:
    """A WebSocket at a session, on a real connection."""
    ends: list[str] = []
    messages: list[str] = []

    async def ended(sid: str, reason: str) -> None:
        ends.append(reason)

    async def message(sid: str, data: str) -> None:
        messages.append(data)

    engine.on("disconnect", ended)
    engine.on("message", message)
    ours, theirs = sockets.socketpair()
    listener = UpgradingListener(engine.times, session)
    websocket = WebSocketConnection(listener, FrameParser(1000), None, 4000, Turns())
    transport, _ = await asyncio.get_running_loop().create_connection(
        lambda: as_protocol(websocket), sock=ours
    )
    websocket.adopt(transport, 1000)
    session.websocket = websocket
    engine.times.watch_upgrade(websocket)
    reader, writer = await asyncio.open_connection(sock=theirs)
    websocket.start(b"")
    yield UpgradeAttempt(
        engine, session, websocket, Pair(ListenerRecorder(), websocket, reader, writer), ends, messages
    )
    websocket.abort()
    writer.transport.abort()
    await until(lambda: websocket.transport is None, what="the connection is gone")


def polling(engine: EngineServer) -> EngineSocket:
    session = engine.sockets["w.sid"] = EngineSocket(engine, "w.sid")
    return session


@pytest.fixture
async def attempt() -> AsyncIterator[UpgradeAttempt]:
    engine = EngineServer(OPTIONS)
    async with attempting(engine, polling(engine)) as attempt:
        yield attempt
    await engine.shutdown()


async def test_after_probe_and_upgrade_the_websocket_is_the_session(attempt: UpgradeAttempt) -> None:
    attempt.session.send_text(b"4waited")
    await attempt.is_probed()
    attempt.says(b"5", b"4hello")
    assert await attempt.client.frame() == (TEXT, b"4waited")
    await until(lambda: attempt.messages == ["hello"], what="what came right behind the upgrade")
    attempt.session.send_text(b"4answer")
    assert await attempt.client.frame() == (TEXT, b"4answer")


@pytest.mark.parametrize(
    "packets",
    [[b"5"], [b"2"], [b"2probe!"], [b"4hello"], [b"2probe", b"4hello"], [b"2probe", b"3"], [b""]],
    ids=lambda packets: " ".join(map(repr, packets)),
)
async def test_anything_else_closes_the_websocket_and_not_the_session(
    attempt: UpgradeAttempt, packets: list[bytes]
) -> None:
    attempt.says(*packets)
    for _ in packets[1:]:
        assert await attempt.client.frame() == (TEXT, b"3probe")
    assert await attempt.client.close_code() == 1002
    attempt.client.writer.close()
    await attempt.is_polling()
    assert (attempt.messages, attempt.ends) == ([], [])


async def test_a_binary_probe_is_none(attempt: UpgradeAttempt) -> None:
    attempt.client.sends(client_frame(FINAL_BINARY, b"2probe"))
    assert await attempt.client.close_code() == 1002


async def test_a_websocket_that_goes_away_before_the_upgrade_leaves_the_session(
    attempt: UpgradeAttempt,
) -> None:
    await attempt.is_probed()
    attempt.client.writer.transport.abort()
    await attempt.is_polling()
    assert attempt.ends == []


async def test_one_that_goes_away_after_it_ends_the_session(attempt: UpgradeAttempt) -> None:
    await attempt.is_probed()
    attempt.says(b"5")
    await until(lambda: attempt.session.upgraded, what="the upgrade")
    attempt.client.writer.transport.abort()
    await until(lambda: attempt.ends == ["transport close"], what="the end is announced")
    assert attempt.session.closed
    assert attempt.engine.sockets == {}


async def test_one_that_does_not_finish_in_time_is_closed_and_polling_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.transport.heartbeats.UPGRADE_S", 0.2)
    engine = EngineServer(OPTIONS)
    async with attempting(engine, polling(engine)) as attempt:
        await attempt.is_probed()
        assert await attempt.client.close_code() == 1000
        attempt.client.writer.close()
        await attempt.is_polling()
    await engine.shutdown()


async def test_a_late_end_of_the_first_attempt_does_not_harm_the_second(attempt: UpgradeAttempt) -> None:
    await attempt.is_probed()
    async with attempting(attempt.engine, attempt.session) as second:
        await second.is_probed()
        attempt.client.writer.transport.abort()
        await until(lambda: attempt.websocket.transport is None, what="the first is gone")
        second.says(b"5", b"4hello")
        await until(lambda: second.messages == ["hello"], what="the second is the session")
        assert not attempt.session.closed
