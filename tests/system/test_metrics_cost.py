"""What the metrics cost where messages pass: a hundredth of it at most.

A difference of one in a hundred cannot be seen between two runs on a machine that others use. So what was added is
timed alone, multiplied by how often it happened, and compared with all that the worker used meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections.abc import Callable
from time import monotonic

import psutil
import pytest

from gateway.metric_kinds import Counter, Histogram
from gateway.metrics import ANSWERS_S
from gateway.rooms.echoes import Echo
from gateway.rooms.fanout import MEASURED_IN
from gateway.rooms.member import Traffic
from gateway.rooms.room import Room
from tests.support.gateways import Gateway
from tests.support.opener import Opener
from tests.support.scraping import scrape
from tests.support.waiting import until

MESSAGES = 3_000
TIMES = 50_000


def _seconds_each(operation: Callable[[], object]) -> float:
    """The least of seven times that it takes, without the call itself."""

    def nothing() -> None:
        pass

    def least(called: Callable[[], object]) -> float:
        found = float("inf")
        for _ in range(7):
            begun_s = time.process_time()
            for _ in range(TIMES):
                called()
            found = min(found, time.process_time() - begun_s)
        return found / TIMES

    return max(0.0, least(operation) - least(nothing))


def added_s(happened: dict[str, float]) -> float:
    """What metrics added, by how often what they count happened."""
    histogram, counter, traffic = (
        Histogram("gateway_x_seconds", "X.", ANSWERS_S),
        Counter("gateway_x_total", "X."),
        Traffic(),
    )
    packets, counts = [b"x" * 120], histogram.counts
    room = Room("room", b"channel", lambda _: None)

    def published() -> None:
        begun_s = monotonic()
        if not counter.value % 16:
            pass
        took_s = monotonic() - begun_s
        counts[bisect_left(ANSWERS_S, took_s)] += 1
        histogram.sum += took_s

    def written() -> None:
        traffic.add(packets)
        counter.value += 120
        counter.value += 120
        if room.seq % MEASURED_IN and room.echo is not None:
            pass

    def observed() -> None:
        histogram.observe(monotonic() - monotonic())

    def echoed() -> None:
        echo = Echo(monotonic())
        echo.heard(room)
        echo.answered(room, b"e1:7 123")
        observed()

    return (
        happened["publish"] * _seconds_each(published)
        + (happened["fanout"] * MEASURED_IN) * _seconds_each(written)
        + (happened["store_rtt"] + happened["fanout"]) * _seconds_each(observed)
        + happened["echo"] * _seconds_each(echoed)
    )


@pytest.mark.long
@pytest.mark.parametrize("at_once", [1, 100])
@pytest.mark.parametrize("members", [2, 20])
async def test_metrics_cost_a_hundredth_of_a_message(
    redis_url: str, connect: Opener, room: str, members: int, at_once: int
) -> None:
    async with Gateway(redis_url, workers=1) as gateway:
        people = [await connect(gateway.url) for _ in range(members)]
        for number, member in enumerate(people):
            await member.join(f"person {number}", room)
        worker = psutil.Process(gateway.worker_pids()[0])
        before, counts = worker.cpu_times(), await _happened(gateway)
        for _ in range(MESSAGES // at_once):
            await asyncio.gather(*(people[0].send(room, f"message {number}") for number in range(at_once)))
        await until(lambda: len(people[-1].messages(room)) == MESSAGES, 60, "all have heard all")
        after = worker.cpu_times()
        happened = {name: number - counts[name] for name, number in (await _happened(gateway)).items()}
    used_s = after.user + after.system - before.user - before.system
    added = added_s(happened)
    print(
        f"{members} members, {at_once} at once: {used_s / MESSAGES * 1e6:.0f} µs a message, of which metrics "
        f"{added / MESSAGES * 1e6:.2f} µs, {added / used_s:.2%}; {happened}"
    )
    assert happened["publish"] == MESSAGES
    assert added <= 0.01 * used_s


async def _happened(gateway: Gateway) -> dict[str, float]:
    found = await scrape(gateway.url)
    names = ("publish", "echo", "fanout", "store_rtt")
    return {name: found.total(f"gateway_{name}_seconds_count") for name in names}
