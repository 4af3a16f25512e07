"""What passes leaves nothing behind: the memory of a worker while people come, talk and go.

On whichever build runs. Compiled code counts its references itself: one that it forgot to drop for each message would
pass every other test. A leak grows in every round, so the calmest of several is what counts.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import psutil
import pytest

from loadtest.bench.seat import Seat, Tally
from tests.support.gateways import Gateway
from tests.support.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(900)]

ROUNDS = 4
MEMBERS, MESSAGES, AT_ONCE = 20, 5000, 50
PEOPLE = 1000
SMALLEST_LEAK_BYTES = 32
"""A Python object takes at least so much."""


async def seated(gateway: Gateway, tally: Tally, room: str, name: str) -> Seat:
    _, seat = await asyncio.get_running_loop().create_connection(
        lambda: Seat(tally, gateway.port), "127.0.0.1", gateway.port
    )
    assert await seat.connected
    await seat.join(room, name)
    return seat


async def calmest_growth(gateway: Gateway, traffic: Callable[[], Awaitable[None]]) -> tuple[int, list[int]]:
    """By how many bytes the worker's own memory grew in the calmest round, and in each; the first round is warm-up."""
    (pid,) = gateway.worker_pids()
    await traffic()
    used = [psutil.Process(pid).memory_full_info().uss]
    for _ in range(ROUNDS):
        await traffic()
        used.append(psutil.Process(pid).memory_full_info().uss)
    grown = [after - before for before, after in itertools.pairwise(used)]
    return min(grown), grown


async def test_messages_leave_nothing_behind(redis_url: str, room: str) -> None:
    """A room of 20, so that the fast build writes by its C loop: 100,000 deliveries in a round."""
    tally = Tally()
    async with Gateway(redis_url, workers=1) as gateway:
        seats = [await seated(gateway, tally, room, f"user-{number}") for number in range(MEMBERS)]

        async def talk() -> None:
            tally.reset()
            for said in range(AT_ONCE, MESSAGES + AT_ONCE, AT_ONCE):
                for number in range(AT_ONCE):
                    seats[number % MEMBERS].say("x" * 100, number)
                await until(lambda: tally.deliveries >= said * MEMBERS, 30, "everybody got all")  # noqa: B023
            assert tally.deliveries == MESSAGES * MEMBERS

        least, each = await calmest_growth(gateway, talk)
        print(f"bytes that {MESSAGES} messages to {MEMBERS} left, in each round: {each}")
        assert least < MESSAGES * SMALLEST_LEAK_BYTES, each
        for seat in seats:
            seat.abort()


async def test_people_who_came_and_went_leave_nothing_behind(redis_url: str, room: str) -> None:
    """Each connects, joins a room of 20, talks to it once, and goes."""
    tally = Tally()
    async with Gateway(redis_url, workers=1) as gateway:

        async def visit(name: str) -> None:
            seat = await seated(gateway, tally, room, name)
            seat.say("hello", 1)
            seat.abort()

        async def come_and_go() -> None:
            for first in range(0, PEOPLE, MEMBERS):
                await asyncio.gather(*(visit(f"user-{first + number}") for number in range(MEMBERS)))

        least, each = await calmest_growth(gateway, come_and_go)
        print(f"bytes that {PEOPLE} people left, in each round: {each}")
        assert least < PEOPLE * 10 * SMALLEST_LEAK_BYTES, each
