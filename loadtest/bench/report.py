"""What the measurements say: medians, ratios pair by pair, tables in Markdown. Does no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from math import isinf
from statistics import median
from typing import Any

from loadtest.bench.contests import Contest, Lane
from loadtest.bench.rounds import Measurement, Runs

FIGURES = {
    "us_per_delivery": "CPU per delivery",
    "p99_ms": "p99 latency",
    "kb_per_connection": "memory per connection",
    "connect_us": "CPU per connect and join",
}
_MEDIANS = {
    "us_per_delivery": "CPU, µs per delivery",
    "valkey_us_per_delivery": "of Valkey, µs per delivery",
    "rate": "deliveries/s",
    "p50_ms": "p50, ms",
    "p99_ms": "p99, ms",
    "kb_per_connection": "KiB per connection",
    "connect_us": "connect, µs",
}


@dataclass(frozen=True, slots=True)
class Ratio:
    """One lane's figure over another's, measured in pairs of the same round."""

    middle: float
    least: float
    most: float

    def __str__(self) -> str:
        spread = f" ({self.least:.2f}–{self.most:.2f})" if self.least < self.most else ""
        return f"{self.middle:.2f}{spread}"


@dataclass(frozen=True, slots=True)
class Result:
    """A contest and what was measured in it."""

    contest: Contest
    runs: Runs

    def ratio(self, label: str, figure: str) -> Ratio | None:
        """The lane's figure over that of the contest's `against`; None when the contest is not about that figure,
        or there is no pair to compare.
        """
        if figure not in self.contest.goals:
            return None
        pairs = zip(self.runs[label], self.runs[self.contest.against], strict=True)
        ratios = [
            getattr(one, figure) / getattr(other, figure)
            for one, other in pairs
            if one is not None and other is not None and getattr(other, figure) > 0
        ]
        return Ratio(median(ratios), min(ratios), max(ratios)) if ratios else None

    def others(self) -> tuple[Lane, ...]:
        """The lanes that are compared with `against`."""
        return tuple(lane for lane in self.contest.lanes if lane.label != self.contest.against)

    def incomplete(self, lane: Lane) -> int:
        """In how many rounds the lane lost deliveries, or broke down."""
        return sum(each is None or not each.is_complete(lane.load) for each in self.runs[lane.label])

    def missed_goals(self) -> tuple[str, ...]:
        """A sentence for each goal that the gateway's median is above."""
        found = ((figure, most, self.ratio("gateway", figure)) for figure, most in self.contest.goals.items())
        return tuple(
            f"{self.contest.name}: {FIGURES[figure]} is {ratio} of {self.contest.against}'s, goal {most}"
            for figure, most, ratio in found
            if ratio is not None and ratio.middle > most
        )

    def as_json(self) -> dict[str, Any]:
        """The contest's name, all measurements, and the medians of the ratios."""
        ratios = {
            lane.label: {
                figure: ratio.middle
                for figure in FIGURES
                if (ratio := self.ratio(lane.label, figure)) is not None
            }
            for lane in self.others()
        }
        runs = {
            label: [None if each is None else each.as_json() for each in measured]
            for label, measured in self.runs.items()
        }
        return {"contest": self.contest.name, "against": self.contest.against, "ratios": ratios, "runs": runs}


def ratio_table(results: list[Result]) -> str:
    """Markdown: a row for each comparison; goals stand beside what they are for, bold where they are met."""
    head = ["load", "who", *FIGURES.values()]
    rows = [
        [result.contest.title, f"{lane.label} / {result.contest.against}{_broken(result, lane)}"]
        + [_ratio_cell(result, lane, figure) for figure in FIGURES]
        for result in results
        for lane in result.others()
    ]
    return _markdown(head, rows)


def median_table(results: list[Result]) -> str:
    """Markdown: a row for each lane with the medians of what was measured, in absolute figures."""
    head = ["load", "who", *_MEDIANS.values(), "commands per message"]
    rows = []
    for result in results:
        for lane in result.contest.lanes:
            measured = [each for each in result.runs[lane.label] if each is not None]
            if measured:
                figures = [f"{median(getattr(each, name) for each in measured):.1f}" for name in _MEDIANS]
                name = f"{lane.label}{_broken(result, lane)}"
                rows.append([result.contest.name, name, *figures, _commands(measured[-1], lane)])
    return _markdown(head, rows)


def _ratio_cell(result: Result, lane: Lane, figure: str) -> str:
    ratio = result.ratio(lane.label, figure)
    goal = result.contest.goals.get(figure) if lane.label == "gateway" else None
    if ratio is None:
        return "–"
    if goal is None or isinf(goal):
        return str(ratio)
    return f"**{ratio}**, goal {goal}" if ratio.middle <= goal else f"{ratio}, goal {goal} missed"


def _broken(result: Result, lane: Lane) -> str:
    rounds = len(result.runs[lane.label])
    incomplete = result.incomplete(lane)
    return f" (incomplete in {incomplete} of {rounds})" if incomplete else ""


def _commands(measured: Measurement, lane: Lane) -> str:
    per_message = {name: calls / lane.load.messages for name, calls in measured.calls.items()}
    return ", ".join(f"{name} {share:.2f}" for name, share in per_message.items() if share >= 0.01)


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
