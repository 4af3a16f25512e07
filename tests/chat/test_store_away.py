"""The store stops answering: everything is answered in time, and goes on when it is back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.timers import TimerQueue
from tests.support.chat_worker import ChatWorker, chat_worker
from tests.support.servers import Valkey
from tests.support.waiting import Stopwatch, until

pytestmark = pytest.mark.system  # each test freezes or kills a server of its own, and waits for time-outs

WITHIN_S = 2.0 + 0.3
"""The promise, and what a loaded test machine may add."""


@pytest.fixture
async def worker(server: Valkey) -> AsyncIterator[ChatWorker]:
    async with chat_worker(server.url, grace_s=0.5) as worker:
        yield worker


async def test_every_event_is_answered_unavailable_within_two_seconds(
    server: Valkey, worker: ChatWorker, room: str
) -> None:
    clients = [worker.connect() for _ in range(4)]
    for number, client in enumerate(clients):
        await client.join(room, f"user-{number}")
    server.freeze()
    try:
        async with Stopwatch() as watch:
            answers = await asyncio.gather(
                clients[0].send(room, "m"),
                clients[1].call("members", {"room": room}),
                clients[2].call("history", {"room": room}),
                clients[3].join(room, "user-3"),
                worker.connect().join(f"{room}-new"),
            )
    finally:
        server.thaw()
    assert [answer["code"] for answer in answers] == ["unavailable"] * 5
    assert all(answer["retryable"] for answer in answers)
    assert watch.calm_seconds <= WITHIN_S


async def test_one_that_retries_until_it_joins_is_there_for_good(
    server: Valkey, worker: ChatWorker, room: str
) -> None:
    ann, ben = worker.connect(), worker.connect()
    await ann.join(room)
    server.freeze()
    try:
        assert (await ben.join(room, "ben"))["code"] == "unavailable"
    finally:
        server.thaw()

    async def joins() -> bool:
        return (await ben.join(room, "ben"))["ok"] is True

    await until(joins, 8, "the retry succeeds")
    await asyncio.wait_for(_several_grace_periods(worker), 20)
    assert await worker.users(room) == ["ann", "ben"]
    assert "ben has left the room" not in ann.notices()


async def _several_grace_periods(worker: ChatWorker) -> None:
    """Until an entry that was added now to the queue of the grace period would be long due."""
    over = asyncio.Event()
    queue: TimerQueue[None] = worker.timers.queue(1.2, lambda item, due_s: over.set())
    queue.add(None)
    await over.wait()


async def test_a_store_that_was_killed_and_is_empty_is_announced_as_a_gap(
    server: Valkey, worker: ChatWorker, room: str
) -> None:
    ann, ben = worker.connect(), worker.connect()
    await ann.join(room)
    await ben.join(room, "ben")
    before = (await ann.send(room, "m1"))["id"]
    await until(lambda: ben.messages() == ["m1"], what="the message")
    server.kill()
    assert (await ann.send(room, "lost"))["code"] == "unavailable"
    await server.start()

    async def sends() -> bool:
        return (await ann.send(room, "m2"))["ok"] is True

    await until(sends, 8, "the store takes messages again")
    await until(lambda: "m2" in ben.messages(), what="and delivers them")
    assert [error["code"] for error in ben.events("error")] == ["gap"]
    assert ben.events("error")[0]["id"] == before
