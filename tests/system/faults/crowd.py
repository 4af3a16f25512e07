"""A crowd in a process of its own, so that its storm does not slow the clock by which others are measured.

Owns that process. It stands for machines elsewhere: once it is in, it runs at a lower priority than the gateway,
Valkey and those who are measured, because a client's work must not delay what is judged here, the server's. Promises
that its ledger is judged there and the verdict handed over.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

from loadtest.ledger import Report
from tests.support.waiting import until
from tests.system.faults.traffic import Shape, Traffic

START_LIMIT_S = 120.0
BACK_LIMIT_S = 60.0
NICENESS = 5
"""Lower than the others' priority: a third of their share of the processor while they want it."""


@dataclass(frozen=True, slots=True)
class CrowdVerdict:
    """What the crowd's ledger says, what had not settled, and how many connections it took."""

    report: Report
    unsettled: str
    connections: int


class Crowd:
    """`async with Crowd(url, seed, rooms=100, people=20) as crowd:` enters when all of it is in."""

    def __init__(self, url: str, seed: int, rooms: int, people: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(theirs, url, seed, rooms, people), daemon=True)

    async def cut_all(self) -> float:
        """Cuts all connections at once; returns the seconds until everybody is back in."""
        return float(await self._ask("cut", BACK_LIMIT_S))

    async def verdict(self) -> CrowdVerdict:
        """Lets it settle and judges it."""
        verdict = await self._ask("judge", START_LIMIT_S)
        assert isinstance(verdict, CrowdVerdict)
        return verdict

    async def __aenter__(self) -> Self:
        self._process.start()
        await self._ask("start", START_LIMIT_S)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.join(timeout=10)
        self._process.close()
        self._ours.close()

    async def _ask(self, order: str, limit_s: float) -> Any:
        self._ours.send(order)
        await until(self._ours.poll, limit_s, f"the crowd answers to '{order}'")
        answer = self._ours.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer


def _run(orders: Connection, url: str, seed: int, rooms: int, people: int) -> None:
    """The other process: obeys until it is terminated."""
    asyncio.run(_obey(orders, url, seed, rooms, people))


async def _obey(orders: Connection, url: str, seed: int, rooms: int, people: int) -> None:
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, orders.recv)
    async with Traffic([url], seed, Shape(rooms, people, talkers=1, pace_s=2.0)) as traffic:
        os.nice(NICENESS)
        orders.send("in")
        while True:
            order = await loop.run_in_executor(None, orders.recv)
            try:
                orders.send(await (_cut_all(traffic) if order == "cut" else _judge(traffic)))
            except AssertionError as error:
                orders.send(error)


async def _cut_all(traffic: Traffic) -> float:
    cut_at = time.monotonic()
    for person in traffic.people:
        person.cut()
    await until(traffic.everybody_is_in, BACK_LIMIT_S, "the whole crowd is back")
    return time.monotonic() - cut_at


async def _judge(traffic: Traffic) -> CrowdVerdict:
    report = await traffic.verdict(limit_s=60)
    return CrowdVerdict(report, traffic.unsettled, traffic.connections)
