"""A whole contest: its lanes are started together, measured round by round, and stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack

from loadtest.bench.contenders import BenchError
from loadtest.bench.contests import Contest
from loadtest.bench.generator import GeneratorError
from loadtest.bench.measuring import WAYS, Measurement, Round
from loadtest.bench.standing import Standing, standing

Runs = dict[str, list[Measurement]]
"""By a lane's label its measurements in the order of the rounds."""
LIMIT_S = 240.0
"""No contest takes longer: one that does is broken off."""


def run(contest: Contest, say: Callable[[str], None]) -> Runs:
    """All rounds of a contest. Raises BenchError when a contender does not start or turns members away."""
    runs: Runs = {lane.label: [] for lane in contest.lanes}

    def note(done: Round) -> None:
        for label, measured in done.items():
            runs[label].append(measured)
        number = len(runs[contest.lanes[0].label])
        say(f"{contest.name}, round {number} of {contest.rounds}: {_in_short(contest, done)}")

    with ExitStack() as undo:
        lanes = [undo.enter_context(standing(lane)) for lane in contest.lanes]
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(_measure(contest, lanes, note))
    return runs


async def _measure(contest: Contest, lanes: list[Standing], note: Callable[[Round], None]) -> None:
    try:
        async with asyncio.timeout(LIMIT_S):
            await WAYS[contest.way](contest, lanes, note)
    except (GeneratorError, ConnectionError, TimeoutError) as broken:
        raise BenchError(f"{contest.name} broke off: {broken or f'not done after {LIMIT_S:g} s'}") from broken
    finally:
        for lane in lanes:
            lane.let_go()


def _in_short(contest: Contest, done: Round) -> str:
    figure = contest.goals[-1].figure
    parts = (
        f"{label} {measured.figures[figure]:.2f}"
        + ("" if measured.is_complete else f" INCOMPLETE: {measured.got} of {measured.wanted}")
        for label, measured in done.items()
    )
    return f"{figure} {', '.join(parts)}"


def new_event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's, which is not for every platform; else the library's own."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
