"""Heartbeats of a worker that stands still for a while: its sessions are asked again before they are given up."""

from __future__ import annotations

import asyncio
import time

from gateway.delivery.engine import EngineServer
from gateway.delivery.options import EngineOptions
from gateway.delivery.sockets import PING, EngineSocket
from tests.waiting import tried_again, until

INTERVAL_S, TIMEOUT_S = 0.1, 0.5


def opened(engine: EngineServer) -> EngineSocket:
    """A polling session whose heartbeats have begun."""
    socket = EngineSocket(engine, "w.sid")
    engine.sockets[socket.sid] = socket
    engine.times.opened(socket)
    return socket


def was_pinged(socket: EngineSocket) -> bool:
    return PING in [packet for packet, _ in socket.outbox or ()]


@tried_again()
async def test_after_a_stand_still_a_session_has_its_whole_time_to_answer() -> None:
    engine = EngineServer(EngineOptions(ping_interval_s=INTERVAL_S, ping_timeout_s=TIMEOUT_S))
    socket = opened(engine)
    time.sleep(INTERVAL_S + TIMEOUT_S + 0.1)  # the stand-still itself
    for _ in range(3):  # turns of the loop: all that fell due meanwhile is handled
        await asyncio.sleep(0)
    await until(lambda: was_pinged(socket), what="it is asked")
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
