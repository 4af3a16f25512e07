"""Heartbeats of a worker that stands still for a while: its sessions are asked again before they are given up."""

from __future__ import annotations

import asyncio
import time
import weakref

import pytest

from gateway.option_groups import EngineOptions
from gateway.transport.heartbeats import HELD_UP_S
from gateway.transport.library_socket import PING
from gateway.transport.server import EngineServer
from gateway.transport.socket import EngineSocket
from tests.support.waiting import HeldUp, in_time, tried_again, until

INTERVAL_S, TIMEOUT_S = 0.1, 0.5


def opened(engine: EngineServer, sid: str = "w.sid") -> EngineSocket:
    """A polling session whose heartbeats have begun."""
    socket = EngineSocket(engine, sid)
    engine.sockets[socket.sid] = socket
    engine.times.opened(socket)
    return socket


def was_pinged(socket: EngineSocket) -> bool:
    return PING in [packet for packet, _ in socket.outbox or ()]


@tried_again(HeldUp)
async def test_after_a_stand_still_a_session_has_its_whole_time_to_answer() -> None:
    engine = EngineServer(EngineOptions(ping_interval_s=INTERVAL_S, ping_timeout_s=TIMEOUT_S))
    socket = opened(engine)
    time.sleep(INTERVAL_S + TIMEOUT_S + 0.1)  # the stand-still itself
    began_s = time.monotonic()
    for _ in range(3):  # turns of the loop: all that fell due meanwhile is handled
        await asyncio.sleep(0)
    await until(lambda: was_pinged(socket), what="it is asked")
    in_time(
        began_s, TIMEOUT_S - HELD_UP_S
    )  # else it stood still again, for all the time that the session had
    assert not socket.closed
    socket.received(1, b"3")
    assert not socket.awaits_pong
    await engine.shutdown()


async def test_a_session_that_does_not_answer_is_given_up() -> None:
    engine = EngineServer(EngineOptions(ping_interval_s=INTERVAL_S, ping_timeout_s=TIMEOUT_S))
    begun = time.monotonic()
    socket = opened(engine)
    await until(lambda: socket.closed, what="it is given up")
    assert time.monotonic() - begun >= INTERVAL_S + TIMEOUT_S
    await engine.shutdown()


async def test_a_session_that_answers_is_asked_again_and_again() -> None:
    engine = EngineServer(EngineOptions(ping_interval_s=INTERVAL_S, ping_timeout_s=60))
    socket = opened(engine)
    for _ in range(3):
        await until(lambda: was_pinged(socket), what="it is asked")
        socket.take_outbox()
        socket.received(1, b"3")
    assert not socket.closed
    await engine.shutdown()


async def test_a_pong_that_nobody_asked_for_brings_no_second_row_of_pings() -> None:
    engine = EngineServer(EngineOptions(ping_interval_s=INTERVAL_S, ping_timeout_s=60))
    socket = opened(engine)
    for _ in range(5):
        socket.received(1, b"3")
    await until(lambda: was_pinged(socket), what="it is asked")
    assert [packet for packet, _ in socket.take_outbox()] == [PING]
    await engine.shutdown()


async def test_a_session_that_does_not_connect_is_ended() -> None:
    engine = EngineServer(EngineOptions(connect_timeout_s=INTERVAL_S))
    connected, silent = opened(engine), opened(engine, "w.other")
    connected.connects = 1
    await until(lambda: silent.closed, what="it is ended")
    assert not connected.closed
    await engine.shutdown()


async def test_a_session_that_stays_behind_is_ended_and_one_that_catches_up_is_not() -> None:
    engine = EngineServer(EngineOptions(stuck_s=0.3))
    stuck, quick = opened(engine), opened(engine, "w.other")
    stuck.mark_behind()
    quick.mark_behind()
    quick.mark_drained()
    await until(lambda: stuck.closed, what="it is ended")
    assert not quick.closed
    await engine.shutdown()


async def test_the_last_packets_of_a_polling_session_are_kept_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.transport.heartbeats.LINGER_S", 0.2)
    engine = EngineServer(EngineOptions())
    socket = opened(engine)
    socket.send_text(b"4last")
    socket.end(engine.reason.SERVER_DISCONNECT)
    assert engine.sockets == {socket.sid: socket}
    await until(lambda: not engine.sockets, what="it is forgotten")
    await engine.shutdown()


async def test_a_session_that_ended_is_not_kept_until_its_time_outs_fall_due() -> None:
    engine = EngineServer(EngineOptions(connect_timeout_s=60, stuck_s=60))
    socket = opened(engine)
    socket.mark_behind()
    socket.end(engine.reason.PING_TIMEOUT)
    known = weakref.ref(socket)
    del socket
    assert known() is None
    await engine.shutdown()
