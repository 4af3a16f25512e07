"""The stage of every fault test: a store, a gateway on it, people who talk, and the ledger's verdict at the end.

Owns the order of it: the store is up before the gateway, the gateway is ready before anybody joins, and all that was
recorded is judged while everything still runs. A test breaks things between, and adds what it expects of its fault.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from loadtest.ledger import Report
from tests.support.gateways import Gateway
from tests.support.waiting import Stopwatch
from tests.system.faults import moderating
from tests.system.faults.people import Person
from tests.system.faults.traffic import FOUR_IN_TWENTY, SETTLE_LIMIT_S, Shape, Traffic

RESUMED_WITHIN_S = 2.0
"""Delivery goes on so soon after the store works again."""


class Store(Protocol):
    """What gateways keep their rooms in: one server, a Sentinel set, a Cluster."""

    @property
    def url(self) -> str: ...


AnyStore = TypeVar("AnyStore", bound=Store)
Keep = Callable[[Report, int, Mapping[str, float]], None]
"""Keeps a verdict for the summary: the report, how many connections there were, more figures by name."""


@dataclass(slots=True)
class Scene(Generic[AnyStore]):
    """One store, one gateway, the traffic over it; `Stage.scene` opens it."""

    store: AnyStore
    gateway: Gateway
    traffic: Traffic
    keep: Keep
    figures: dict[str, float] = field(default_factory=dict)
    """What else was measured; it is kept with the verdict."""
    verdicts: int = 0
    """How often it was judged: once at least, or the test has asserted nothing."""

    async def resume(self, limit_s: float = 20.0) -> None:
        """The store works again: waits until every room delivers something new; keeps the longest time that took.

        What this process was held up meanwhile, in which all the people live, is left out.
        """
        at = time.monotonic()
        async with Stopwatch() as watch:
            await self.traffic.flow(rounds=1, limit_s=limit_s)
        self.worst("resumed_s", self.traffic.ledger.resumed_after_s(at) - watch.held_up_s)

    def worst(self, name: str, value: float) -> None:
        """Keeps the largest value of a figure."""
        self.figures[name] = max(value, self.figures.get(name, 0.0))

    async def judge(
        self, limit_s: float = SETTLE_LIMIT_S, resumed_within_s: float | None = RESUMED_WITHIN_S
    ) -> Report:
        """Lets the traffic settle, keeps the figures, and fails the test unless the ledger is clean.

        Where a resumption was measured, it must have come in time; None only records it.
        """
        report = await self._judged(self.traffic, limit_s, self.figures)
        if resumed_within_s is not None:
            assert self.figures.get("resumed_s", 0.0) <= resumed_within_s
        return report

    async def judge_other(
        self, traffic: Traffic, limit_s: float = SETTLE_LIMIT_S, **figures: float
    ) -> Report:
        """The same for traffic beside the scene's own."""
        return await self._judged(traffic, limit_s, figures)

    async def _judged(self, traffic: Traffic, limit_s: float, figures: dict[str, float]) -> Report:
        self.verdicts += 1
        report = await traffic.verdict(limit_s)
        if moderating.IS_ON:
            figures["changes"] = traffic.changes
        self.keep(report, traffic.connections, figures)
        traffic.assert_clean(report)
        return report


class Stage:
    """What the fixture `stage` gives: the seed, how often the fault is repeated, and scenes to break things in."""

    def __init__(self, test: str, seed: int, times: int, figures: list[dict[str, Any]]) -> None:
        self.seed, self.times = seed, times
        self._test, self._figures = test, figures

    @asynccontextmanager
    async def scene(
        self,
        store: AbstractAsyncContextManager[AnyStore],
        shape: Shape = FOUR_IN_TWENTY,
        workers: int = 4,
        environment: Mapping[str, str] | None = None,
        other_gateways: Sequence[Gateway] = (),
        person_kind: Callable[..., Person] = Person,
    ) -> AsyncIterator[Scene[AnyStore]]:
        """Opens the store, a gateway with this environment, and traffic: enters when everybody has joined.

        People also connect to `other_gateways`, which run already and have one worker each. The test must ask for the
        verdict before it leaves.
        """
        environment = {**(environment or {}), **moderating.ENVIRONMENT}
        async with store as opened, Gateway(opened.url, workers, environment=environment) as gateway:
            share = workers if other_gateways else 1
            urls = [gateway.url] * share + [other.url for other in other_gateways]
            everywhere = workers + len(other_gateways)
            async with Traffic(urls, self.seed, shape, everywhere, person_kind) as traffic:
                scene = Scene(opened, gateway, traffic, self.keep)
                yield scene
                assert scene.verdicts, "this test never asked for the verdict"

    def keep(self, report: Report, connections: int, more: Mapping[str, float]) -> None:
        """Keeps the figures of a verdict for the summary."""
        self._figures.append(
            {
                "test": self._test,
                "repetitions": self.times,
                "sent": report.sent,
                "acknowledged": report.acknowledged,
                "deliveries": report.delivered,
                "faults": report.missing + report.doubled + report.misordered + report.phantom,
                "lost": report.lost,
                "gaps": report.gaps,
                "connections": connections,
                "longest_gap_s": round(report.longest_gap_s, 2),
                **{name: round(value, 2) for name, value in more.items()},
            }
        )
