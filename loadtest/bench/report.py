"""What the measurements say: medians, ratios round by round, tables in Markdown. Does no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from statistics import fmean, median
from typing import Any

from loadtest.bench.contests import AGAIN, GATEWAY, NODE, Contest, Goal
from loadtest.bench.measuring import Measurement
from loadtest.bench.rounds import Runs

FIGURES = {
    "us_per_delivery": "CPU per delivery, µs",
    "valkey_us_per_message": "Valkey's CPU per message, µs",
    "publishes_per_s_a_core": "messages a second for each core of Valkey",
    "us_per_join": "CPU per handshake, connect and join, µs",
    "kib_per_connection": "memory per connection, KiB",
    "kib_per_room": "memory that traffic adds to a room, KiB",
    "idle_us_per_s": "CPU per connection and second, µs",
    "us_per_client": "CPU per client, µs",
    "missing": "deliveries and acknowledgements missing",
}
"""What a goal may be about."""
UNITS = {"kib_per_connection": "KiB", "kib_per_room": "KiB", "idle_us_per_s": "µs"}
AVERAGED = frozenset(UNITS)
"""Of these the mean is taken: the slope from the first round to the last is the mean of the slopes between."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure or a ratio over the rounds that count."""

    middle: float
    least: float
    most: float

    def __str__(self) -> str:
        middle, least, most = (_short(each) for each in (self.middle, self.least, self.most))
        return middle if least == most else f"{middle} ({least}–{most})"


def _short(number: float) -> str:
    if abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:.1f}" if abs(number) >= 10 else f"{number:.2f}"


def _spread(values: Sequence[float], figure: str) -> Spread | None:
    if not values:
        return None
    middle = fmean if figure in AVERAGED else median
    return Spread(middle(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Result:
    """A contest and what was measured in it; the first `warming` rounds of `runs` are shown, not counted."""

    name: str
    title: str
    date: str
    warming: int
    goals: tuple[Goal, ...]
    runs: Runs

    @classmethod
    def of(cls, contest: Contest, runs: Runs, date: str) -> Result:
        return cls(contest.name, contest.title, date, contest.warming, contest.goals, runs)

    @classmethod
    def from_json(cls, read: dict[str, Any]) -> Result:
        runs = {label: [Measurement(**each) for each in rounds] for label, rounds in read["runs"].items()}
        return cls(**{**read, "goals": tuple(Goal(**goal) for goal in read["goals"]), "runs": runs})

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def values(self, label: str, figure: str, is_warming: bool = False) -> list[float]:
        """A lane's figure by round: of those that count, or of those before."""
        rounds = self.runs.get(label, [])
        chosen = rounds[: self.warming] if is_warming else rounds[self.warming :]
        return [each.figures[figure] for each in chosen if figure in each.figures]

    def figure(self, label: str, figure: str) -> Spread | None:
        return _spread(self.values(label, figure), figure)

    def ratio(self, label: str, other: str, figure: str, is_warming: bool = False) -> Spread | None:
        """One lane's figure over another's, of the same rounds; None where there is nothing to compare: a server that
        frees more memory in some round than it needs says nothing about what it needs."""
        ones, others = self.values(label, figure, is_warming), self.values(other, figure, is_warming)
        if figure in AVERAGED and ones and others:
            if min(others) <= 0:
                return None
            return Spread(fmean(ones) / fmean(others), *_ends(ones, others))
        pairs = [one / beside for one, beside in zip(ones, others, strict=False) if beside > 0]
        return _spread(pairs, figure)

    def judged(self, goal: Goal) -> Spread | None:
        """What the goal is about."""
        if goal.against:
            return self.ratio(GATEWAY, goal.against, goal.figure)
        return self.figure(GATEWAY, goal.figure)

    def incomplete(self, label: str) -> int:
        """In how many rounds the lane lost something, or somebody was cut off."""
        return sum(not each.is_complete for each in self.runs[label])


def _ends(ones: Sequence[float], others: Sequence[float]) -> tuple[float, float]:
    ratios = [one / beside for one, beside in zip(ones, others, strict=False) if beside > 0]
    return min(ratios), max(ratios)


def is_met(goal: Goal, found: Spread) -> bool:
    return found.middle >= goal.limit if goal.is_least else found.middle <= goal.limit


def missed_goals(results: Sequence[Result]) -> list[str]:
    """A sentence for each goal that is missed."""
    judged = ((result, goal, result.judged(goal)) for result in results for goal in result.goals)
    return [
        f"{result.name}: {FIGURES[goal.figure]} is {found}, goal {_limit(goal)}"
        for result, goal, found in judged
        if found is not None and not is_met(goal, found)
    ]


def _limit(goal: Goal) -> str:
    sign = "≥" if goal.is_least else "≤"
    limit = f"{sign} {goal.limit:g}" if goal.limit < 1000 else f"{sign} {goal.limit:,.0f}"
    return f"{limit} (fast {sign} {goal.fast:g})" if goal.fast is not None else limit


def whole_table(results: Sequence[Result]) -> str:
    """Markdown: a row for each figure that has a goal, with all that is known of it."""
    head = [
        "contest",
        "figure",
        "gateway",
        "beside",
        "ratio",
        "again",
        "warming up",
        "Valkey's µs",
        "goal",
        "met",
    ]
    return markdown(head, [_whole_row(result, goal) for result in results for goal in result.goals])


def _whole_row(result: Result, goal: Goal) -> list[str]:
    other = goal.against or (NODE if NODE in result.runs else "")
    found = result.judged(goal)
    warming = result.ratio(GATEWAY, other, goal.figure, is_warming=True) if other else None
    has_limit = isfinite(goal.limit) and found is not None
    return [
        f"`{result.name}`: {result.title}{_broken(result)}",
        FIGURES[goal.figure],
        _text(result.figure(GATEWAY, goal.figure)),
        _text(result.figure(other, goal.figure), f"{other}: "),
        _text(result.ratio(GATEWAY, other, goal.figure)) if other else "–",
        _text(result.ratio(GATEWAY, AGAIN, goal.figure)),
        f"{warming.middle:.2f}" if warming is not None else "–",
        _valkey(result, other),
        _limit(goal) if has_limit else "–",
        ("yes" if is_met(goal, found) else "**no**") if has_limit and found is not None else "–",
    ]


def short_table(results: Sequence[Result]) -> str:
    """Markdown: a row for each comparison with Node."""
    head = ["load", "of Node's CPU or memory", "Valkey's CPU for each message, µs", "Node's Valkey"]
    rows = []
    for result in results:
        figure = result.goals[0].figure
        ratio = result.ratio(GATEWAY, NODE, figure)
        own, nodes = result.figure(GATEWAY, figure), result.figure(NODE, figure)
        if ratio is None and own is not None and nodes is not None and figure in AVERAGED:
            rows.append(
                [result.title, f"cannot be told; {_short(own.middle)} {UNITS[figure]} by itself", "–", "–"]
            )
        if ratio is not None and figure != "valkey_us_per_message":
            valkeys = [result.figure(label, "valkey_us_per_message") for label in (GATEWAY, NODE)]
            rows.append([result.title, str(ratio), *(_text(each) for each in valkeys)])
    return markdown(head, rows)


def _valkey(result: Result, other: str) -> str:
    """For each message, or each join, with the gateway and with the other."""
    for figure in ("valkey_us_per_message", "valkey_us_per_join"):
        own, others = result.figure(GATEWAY, figure), result.figure(other, figure)
        if own is not None:
            return f"{_short(own.middle)} / {_short(others.middle)}" if others is not None else str(own)
    return "–"


def _text(found: Spread | None, before: str = "") -> str:
    return "–" if found is None else f"{before}{found}"


def _broken(result: Result) -> str:
    broken = {label: result.incomplete(label) for label in result.runs}
    said = ", ".join(f"{label} incomplete in {times} rounds" for label, times in broken.items() if times)
    return f" ({said})" if said else ""


def markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
