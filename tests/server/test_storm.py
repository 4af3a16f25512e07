"""Many clients at once: what one turn of a worker's event loop takes on, and how many may wait at its door."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from gateway.admission import WORK_AT_ONCE
from gateway.server.app import GATEWAY, build_app
from tests.support.clients import Member
from tests.support.gateways import Gateway
from tests.support.serving import serving, settings
from tests.support.waiting import until

STORM = 60
AT_THE_DOOR = 300
"""More than the 128 that aiohttp asks the system to keep."""


@contextlib.asynccontextmanager
async def watching(count: Callable[[], int]) -> AsyncIterator[list[int]]:
    """The changes of a number from one turn of the event loop to the next."""
    steps: list[int] = []

    async def watch() -> None:
        last = count()
        while True:
            await asyncio.sleep(0)  # a turn
            now = count()
            if now != last:
                steps.append(abs(now - last))
            last = now

    watcher = asyncio.create_task(watch())
    yield steps
    watcher.cancel()


async def test_a_storm_comes_in_and_joins_and_goes_a_few_at_a_time(redis_url: str, room: str) -> None:
    app = build_app(settings(redis_url))
    async with serving(app) as url:
        chat, engine = app[GATEWAY].chat, app[GATEWAY].engine
        async with watching(lambda: len(engine.sockets)) as handshakes:
            members = await asyncio.gather(*(Member.connect(url) for _ in range(STORM)))
        assert max(handshakes) <= WORK_AT_ONCE
        async with watching(lambda: len(chat.sessions.everyone())) as joins:
            await asyncio.gather(*(each.join(f"user{nr}", room) for nr, each in enumerate(members)))
        assert sum(joins) == STORM
        async with watching(lambda: len(chat.sessions)) as ends:
            for member in members:
                member.abort()
            await until(lambda: not chat.sessions, what="all sessions have ended")
        assert max(ends) <= WORK_AT_ONCE
        for member in members:
            await member.close()


@pytest.mark.system
async def test_a_worker_that_is_held_up_loses_no_first_packets(redis_url: str) -> None:
    async with Gateway(redis_url, workers=1) as gateway:
        (pid,) = gateway.worker_pids()
        os.kill(pid, signal.SIGSTOP)
        try:
            doors = [_knock(gateway.port) for _ in range(AT_THE_DOOR)]
            await until(
                lambda: all(_is_open(door) for door in doors), what="the system takes all connections"
            )
        finally:
            os.kill(pid, signal.SIGCONT)
        for door in doors:
            door.close()


def _knock(port: int) -> socket.socket:
    door = socket.socket()
    door.setblocking(False)
    door.connect_ex(("127.0.0.1", port))
    return door


def _is_open(door: socket.socket) -> bool:
    try:
        door.getpeername()
    except OSError:
        return False
    return True
