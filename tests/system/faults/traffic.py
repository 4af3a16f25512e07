"""Traffic in many rooms over all workers, and the verdict on it once it has settled.

Owns the people and their ledger. Promises that every room has several members, that all workers hold some of
them, and that the verdict comes after everything could be delivered that ever will be.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from loadtest.ledger import Ledger, Report
from tests.support.waiting import until
from tests.system.faults import moderating
from tests.system.faults.people import Person

START_LIMIT_S = 30.0
SETTLE_LIMIT_S = 20.0


@dataclass(frozen=True, slots=True)
class Shape:
    """How many rooms, who is in them, and how much they say."""

    rooms: int = 20
    people: int = 4
    """The members of each room."""
    talkers: int = 4
    """So many of them talk; the others listen."""
    pace_s: float = 0.5
    """The mean time between two messages of one talker."""
    prefixes: tuple[str, ...] = ("",)
    """What rooms' names begin with, in turn: rules tell rooms by that."""
    padding: int = 0
    """Messages are filled up to so many characters."""


FOUR_IN_TWENTY = Shape()
"""Four people in each of twenty rooms, all of them talking: enough to be on all workers, and in one process."""


class Traffic:
    """`async with Traffic([gateway.url], seed=1) as traffic:` enters when everybody has joined.

    `urls` may name a gateway more than once, to give it a larger share; `workers` are all that serve them.
    """

    def __init__(
        self,
        urls: list[str],
        seed: int,
        shape: Shape = FOUR_IN_TWENTY,
        workers: int = 4,
        person_kind: Callable[..., Person] = Person,
    ) -> None:
        self.ledger = Ledger()
        self.random = random.Random(seed)
        self.unsettled = ""
        self.cuts = 0
        self._urls, self._seed, self._padding, self._workers = urls, seed, shape.padding, workers
        self._sent_at: dict[str, float] = {}
        self._person_kind = person_kind
        self._tasks: list[asyncio.Task[None]] = []
        self._everybody: list[Person] = []
        self._moderator: moderating.Moderator | None = None
        self.people: list[Person] = []
        tag, prefixes = uuid.uuid4().hex[:12], shape.prefixes
        self.rooms = [
            f"{prefixes[number % len(prefixes)]}faults-{tag}-{number}" for number in range(shape.rooms)
        ]
        for number, room in enumerate(self.rooms):
            for which in range(shape.people):
                pace_s = shape.pace_s if which < shape.talkers else None
                self.people.append(self._person(f"r{number}p{which}", room, pace_s))

    def _person(self, name: str, room: str, pace_s: float | None) -> Person:
        seed = f"{self._seed}/{name}"
        return self._person_kind(
            name, room, self._urls, self.ledger, seed, self._sent_at, pace_s, self._padding
        )

    @property
    def is_running(self) -> bool:
        """Whether nobody has crashed."""
        return not any(task.done() and task.exception() for task in self._tasks)

    @property
    def connections(self) -> int:
        """How many connections its people have opened so far."""
        return sum(person.connections for person in self.people)

    @property
    def notices(self) -> list[str]:
        """All notices that anybody got."""
        return [text for person in self.people for _, text in person.notices]

    def workers(self) -> Counter[str]:
        """How many people each worker holds now."""
        return Counter(person.connection.worker for person in self.people if person.connection is not None)

    def everybody_is_in(self) -> bool:
        """Whether all people have joined their rooms."""
        return all(person.is_joined for person in self.people)

    async def flow(self, rounds: int = 2, limit_s: float = 20.0) -> None:
        """Waits until everybody is in and has got so many messages that were sent from now on."""
        begun_at = time.monotonic()

        def has_flowed() -> bool:
            return self.everybody_is_in() and all(
                person.has_received(rounds, begun_at) for person in self.people
            )

        try:
            await until(has_flowed, limit_s, f"everybody gets {rounds} messages")
        except AssertionError as late:
            waiting = [person.name for person in self.people if not person.has_received(rounds, begun_at)]
            raise AssertionError(f"{late}; without: {waiting[:20]}, {self._who_is_late()}") from late

    async def until_acknowledged(self, messages: int, limit_s: float = 5.0) -> None:
        """Waits until so many more messages are acknowledged than now."""
        enough = self.ledger.acknowledgements + messages
        await until(
            lambda: self.ledger.acknowledgements >= enough, limit_s, f"{messages} more are acknowledged"
        )

    def at_worker(self, worker: str) -> list[Person]:
        """The people whose connection that worker holds."""
        return [
            person
            for person in self.people
            if person.connection is not None and person.connection.worker == worker
        ]

    def retire(self, people: list[Person]) -> None:
        """These do not come back when their connection ends, and are not waited for."""
        for person in people:
            person.is_retired = True
            self.people.remove(person)

    def some(self, share: float) -> list[Person]:
        """A random share of the people, at least one."""
        return self.random.sample(self.people, max(1, round(len(self.people) * share)))

    def latency_s(self, people: list[Person], since: float, until_s: float, part: float = 0.99) -> float:
        """The time from sending to delivery that this part of the deliveries to these people stayed under."""
        found = sorted(
            latency for person in people for at, latency in person.latencies if since <= at <= until_s
        )
        return found[int(len(found) * part)] if found else float("inf")

    async def verdict(self, limit_s: float = SETTLE_LIMIT_S) -> Report:
        """Stops the talk, waits until all is answered and everybody is level with a newcomer, and judges.

        Fails the test at once if anybody crashed or was answered what the contract does not know.
        """
        for person in self.people:
            person.is_talking = False
        if self._moderator is not None:
            self._moderator.stop()
            await asyncio.sleep(moderating.CALL_S)  # what is under way is answered, or never will be
        try:
            await until(self._is_answered, limit_s, "everything said is answered and everybody is in")
            newcomers = [self._person(f"late{number}", room, None) for number, room in enumerate(self.rooms)]
            self._admit(newcomers)
            await until(lambda: all(late.is_joined for late in newcomers), limit_s, "newcomers join")
            await until(lambda: self._is_level(newcomers), limit_s, "everybody is level with a newcomer")
            await until(lambda: not moderating.outdated(self.people, newcomers), limit_s, "changes are shown")
        except AssertionError as late:
            self.unsettled = f"{late}; {self._who_is_late()}"
        for task in self._tasks:
            if task.done():
                task.result()  # raises what ended it
        surprises = [f"{person.name}: {each}" for person in self.people for each in person.surprises]
        assert not surprises, "\n".join(surprises[:20])
        return self.ledger.judge()

    @property
    def changes(self) -> int:
        """How many messages were changed."""
        return self._moderator.answers[200] if self._moderator is not None else 0

    def assert_clean(self, report: Report) -> None:
        """Fails the test unless the ledger is clean and all that was to come has come."""
        assert not self.unsettled, f"{self.unsettled}\n{report}"
        assert report.is_clean, str(report)

    async def __aenter__(self) -> Self:
        self._admit(self.people)
        try:
            await until(self.everybody_is_in, START_LIMIT_S, "everybody joins")
            await until(self._is_spread, START_LIMIT_S, "all workers hold people")
            self._moderate()
        except BaseException:
            await self._dismiss()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._dismiss()

    def _moderate(self) -> None:
        """Begins to change messages, where that is asked for."""
        if moderating.IS_ON:
            self._moderator = moderating.Moderator(self._urls, self.people, self._seed)
            self._tasks.append(asyncio.create_task(self._moderator.run()))

    def _admit(self, people: list[Person]) -> None:
        self._everybody.extend(people)
        self._tasks.extend(asyncio.create_task(person.live()) for person in people)

    async def _dismiss(self) -> None:
        for person in self._everybody:
            person.is_retired = True
            person.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks, timeout=30)

    def _is_spread(self) -> bool:
        """Whether all workers hold people; if not, somebody of the fullest worker tries elsewhere."""
        held = self.workers()
        if len(held) >= self._workers:
            return True
        if self.everybody_is_in():
            fullest = held.most_common(1)[0][0]
            there = self.at_worker(fullest)
            for person in there[: len(there) // 2]:
                self.cuts += 1
                person.cut()
        return False

    def _is_answered(self) -> bool:
        return self.everybody_is_in() and not any(person.unanswered for person in self.people)

    def _is_level(self, newcomers: list[Person]) -> bool:
        newest = {late.room: late.last_id for late in newcomers}
        return all(person.last_id == newest[person.room] for person in self.people)

    def _who_is_late(self) -> str:
        out = [person.name for person in self.people if not person.is_joined]
        waiting = [f"{person.name} ({len(person.unanswered)})" for person in self.people if person.unanswered]
        return f"not in: {out[:10]}, not answered: {waiting[:10]}"
