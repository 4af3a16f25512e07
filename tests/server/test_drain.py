"""Leaving evenly: how many at a time, what each is told, and once."""

from __future__ import annotations

import asyncio

import pytest

from gateway.option_groups import EngineOptions
from gateway.server.drain import GOODBYE, Drain, batch_size
from gateway.transport.server import EngineServer
from gateway.transport.socket import EngineSocket
from tests.support.waiting import Stopwatch, until


def engine_with(count: int) -> EngineServer:
    """An engine with so many connected polling sessions."""
    engine = EngineServer(EngineOptions())
    for number in range(count):
        socket = EngineSocket(engine, f"s{number}")
        socket.connects = 1
        engine.sockets[socket.sid] = socket
    return engine


@pytest.mark.parametrize(
    ("remaining", "left_s", "size"),
    [
        (100, 10.0, 1),
        (1000, 10.0, 10),
        (1001, 10.0, 11),
        (7, 10.0, 1),
        (7, 0.1, 7),
        (7, -5.0, 7),
        (0, 1.0, 0),
    ],
)
def test_each_turn_closes_an_even_share(remaining: int, left_s: float, size: int) -> None:
    assert batch_size(remaining, left_s) == size


@pytest.mark.parametrize(("sessions", "drain_s"), [(10_000, 20.0), (3, 20.0), (37, 1.0)])
def test_the_shares_add_up_within_the_time(sessions: int, drain_s: float) -> None:
    left, left_s, sizes = sessions, drain_s, list[int]()
    while left:
        sizes.append(batch_size(left, left_s))
        left, left_s = left - sizes[-1], left_s - 0.1
    assert len(sizes) * 0.1 <= drain_s + 0.1
    assert max(sizes) <= max(1, 2 * sessions * 0.1 / drain_s)


async def test_everybody_is_told_and_closed_and_the_worker_is_not_ready_before() -> None:
    engine, order = engine_with(20), list[str]()
    sockets = list(engine.sockets.values())

    def on_begin() -> None:
        order.append("not ready")
        assert not any(socket.closed for socket in sockets)

    async with Stopwatch() as watch:
        await Drain(engine, on_begin, 0.5).run()
    assert order == ["not ready"]
    assert all(socket.closed for socket in sockets)
    assert watch.seconds > 0.3
    assert watch.calm_seconds < 1.2
    told = [[packet for packet, _ in socket.outbox or ()] for socket in sockets]
    assert all(GOODBYE in packets for packets in told)
    await engine.shutdown()


async def test_one_that_never_connected_is_closed_without_a_word() -> None:
    engine = engine_with(1)
    (socket,) = engine.sockets.values()
    socket.connects = 0
    await Drain(engine, lambda: None, 0.0).run()
    assert socket.closed
    assert GOODBYE not in [packet for packet, _ in socket.outbox or ()]
    await engine.shutdown()


async def test_it_runs_once_whoever_asks_and_a_caller_that_gives_up_does_not_stop_it() -> None:
    engine, begins = engine_with(5), list[int]()
    drain = Drain(engine, lambda: begins.append(1), 0.4)
    impatient = asyncio.create_task(drain.run())
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.gather(drain.run(), drain.run())
    assert begins == [1]
    assert all(socket.closed for socket in engine.sockets.values())
    await engine.shutdown()


async def test_a_quick_drain_of_thousands_does_not_wait() -> None:
    engine = engine_with(10_000)
    sockets = list(engine.sockets.values())
    drain = Drain(engine, lambda: None, 60.0)
    running = asyncio.create_task(drain.run())
    await until(lambda: any(socket.outbox for socket in sockets), what="it began")
    drain.hurry()
    async with Stopwatch() as watch:
        await asyncio.wait_for(running, 20)
    assert watch.calm_seconds < 2
    assert all(socket.closed for socket in sockets)
    await engine.shutdown()


async def test_without_sessions_it_ends_at_once() -> None:
    await asyncio.wait_for(Drain(engine_with(0), lambda: None, 60.0).run(), 10)


async def test_it_lasts_at_least_as_long_as_was_set_unless_it_must_hurry() -> None:
    async with Stopwatch() as watch:
        await Drain(engine_with(0), lambda: None, 0.0, 0.4).run()
    assert watch.seconds >= 0.4
    assert watch.calm_seconds < 1
    hurried = Drain(engine_with(0), lambda: None, 0.0, 60.0)
    hurried.hurry()
    await asyncio.wait_for(hurried.run(), 10)
