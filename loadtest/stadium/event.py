"""The whole event: members join, a few talk for a while, and what everybody got is compared."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from loadtest.stadium.speakers import Speaker, speakers
from loadtest.stadium.stand import Heard, Share, sit

SPEAKERS = 4
JOIN_LIMIT_S, ANSWER_LIMIT_S, SETTLE_LIMIT_S = 300.0, 60.0, 60.0
WARM_S = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """One room with so many members, `processes` of them ours; what is said, and for how long."""

    address: tuple[str, int]
    room: str
    members: int = 20_000
    processes: int = 4
    rate: float = 20.0
    seconds: float = 20.0

    @property
    def messages(self) -> int:
        return round(self.rate * self.seconds)

    def shares(self) -> list[Share]:
        """The members of each process."""
        each, more = divmod(self.members, self.processes)
        sizes = [each + (which < more) for which in range(self.processes)]
        return [Share(self.address, self.room, sum(sizes[:which]), size) for which, size in enumerate(sizes)]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it. `whole` members got everything, once and in order; the others are described in `faults`."""

    members: int
    messages: int
    whole: int
    faults: tuple[str, ...]
    latencies_s: tuple[float, ...]
    joined_s: float
    talked_s: float
    load_cpu_s: float
    repeated: int = 0
    """Messages that were refused for now, and said again."""

    def latency_ms(self, part: float) -> float:
        """What this part of the sampled deliveries stayed under."""
        return self.latencies_s[min(len(self.latencies_s) - 1, int(len(self.latencies_s) * part))] * 1000

    def __str__(self) -> str:
        deliveries = self.whole * self.messages
        return (
            f"{self.whole:,} of {self.members:,} members got all of {self.messages} messages in order; p50 "
            f"{self.latency_ms(0.5):.0f}, p99 {self.latency_ms(0.99):.0f}, most {self.latency_ms(1):.0f} ms; "
            f"{self.messages / self.talked_s:.1f} msg/s, {deliveries / self.talked_s:,.0f} deliveries/s; "
            f"joined in {self.joined_s:.1f} s; "
            f"{self.repeated} said again; load {self.load_cpu_s / self.talked_s:.2f} cores"
        )


class Event:
    """Members in their processes, and those who talk. `held` opens it."""

    def __init__(self, plan: Plan, stands: list[tuple[BaseProcess, Connection]]) -> None:
        self.plan = plan
        self._stands = stands
        self._talking: list[Speaker] = []
        self._joined_s = 0.0

    async def join(self) -> None:
        """Everybody joins."""
        begun_s = time.monotonic()
        await self._told("JOIN", 0, JOIN_LIMIT_S)
        self._talking = await speakers(self.plan.address, self.plan.room, SPEAKERS)
        self._joined_s = time.monotonic() - begun_s

    async def talk(self) -> Outcome:
        """All is said and heard."""
        await asyncio.sleep(WARM_S)  # what the last joins caused is over
        await self._told("BEGIN", 0, ANSWER_LIMIT_S)
        for each in self._talking:
            each.begin()
        begun_s, cpu_s = time.monotonic(), time.process_time()
        await self._say_all(begun_s)
        await self._settle()
        talked_s = time.monotonic() - begun_s
        heard = await self._told("END", self._talking[0].stream[0], ANSWER_LIMIT_S)
        return self._outcome(heard, talked_s, time.process_time() - cpu_s)

    async def _say_all(self, begun_s: float) -> None:
        for number in range(self.plan.messages):
            due_s = begun_s + number / self.plan.rate
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            self._talking[number % SPEAKERS].say(number)

    async def _settle(self) -> None:
        """Returns when those who talked have got all, and every message is acknowledged; or when one of them was told
        something else, which is a fault by itself."""
        deadline_s, all_of_it = time.monotonic() + SETTLE_LIMIT_S, self.plan.messages
        while time.monotonic() < deadline_s and not any(each.surprises for each in self._talking):
            acknowledged = sum(each.acknowledged for each in self._talking)
            if acknowledged >= all_of_it and all(len(one.numbers) >= all_of_it for one in self._talking):
                return
            await asyncio.sleep(0.01)

    def _outcome(self, heard: list[Heard], talked_s: float, own_cpu_s: float) -> Outcome:
        plan = self.plan
        streams = sum((Counter(each.streams) for each in heard), Counter[tuple[int, int]]())
        like_speaker = streams.pop(self._talking[0].stream, 0)
        # Who got the same as somebody who was cut off has not got all.
        whole = like_speaker if self._has_all(self._talking[0]) else 0
        faults = [f"{many} members got a stream of {count} bytes" for (count, _), many in streams.items()]
        faults += self._faults_of_speakers()
        if closed := sum(each.closed for each in heard):
            faults.append(f"{closed} connections ended")
        latencies_s = sorted(latency for each in heard for latency in each.latencies_s)
        load_s = own_cpu_s + sum(each.cpu_s for each in heard)
        return Outcome(
            plan.members, plan.messages, whole, tuple(faults), tuple(latencies_s or [float("inf")]),
            self._joined_s, talked_s, load_s, sum(each.repeated for each in self._talking),
        )  # fmt: skip

    def _faults_of_speakers(self) -> list[str]:
        faults = [surprise for each in self._talking for surprise in each.surprises]
        for each in self._talking:
            if each.numbers != self._talking[0].numbers or each.stream != self._talking[0].stream:
                faults.append("two who talk got different messages")
        numbers = self._talking[0].numbers
        if not self._has_all(self._talking[0]):
            faults.append(f"{len(numbers)} messages came, {len(set(numbers))} different ones")
        acknowledged = sum(each.acknowledged for each in self._talking)
        if acknowledged != self.plan.messages:
            faults.append(f"{acknowledged} messages were acknowledged")
        return faults

    def _has_all(self, speaker: Speaker) -> bool:
        return sorted(speaker.numbers) == list(range(self.plan.messages))

    async def _told(self, order: str, number: int, limit_s: float) -> list[Heard]:
        """Gives an order to all processes, and waits for their answers."""
        for _, pipe in self._stands:
            pipe.send((order, number))
        return list(
            await asyncio.gather(*(asyncio.to_thread(_answer, pipe, limit_s) for _, pipe in self._stands))
        )

    def close(self) -> None:
        """Hangs up."""
        for each in self._talking:
            each.close()


def _answer(pipe: Connection, limit_s: float) -> Heard:
    if not pipe.poll(limit_s):
        raise TimeoutError(f"a process of members has not answered within {limit_s:.0f} s")
    found = pipe.recv()
    assert isinstance(found, Heard)
    if found.error:
        raise RuntimeError(found.error)
    return found


@asynccontextmanager
async def held(plan: Plan) -> AsyncIterator[Event]:
    """The event with its processes, which are ended with it."""
    context = multiprocessing.get_context("spawn")
    stands = [_stand(context, share) for share in plan.shares()]
    event = Event(plan, stands)
    try:
        yield event
    finally:
        event.close()
        for process, pipe in stands:
            pipe.close()
            process.kill()
            process.join()


def _stand(context: Any, share: Share) -> tuple[BaseProcess, Connection]:
    here, there = context.Pipe()
    run: Callable[..., None] = sit
    process = context.Process(target=run, args=(there, share), daemon=True)
    process.start()
    there.close()
    return process, here
