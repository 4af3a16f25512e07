"""The figures as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from loadtest.bench.contests import AGAIN, GATEWAY, NODE
from loadtest.bench.report import Result, Spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, GREEN, GREY, RED = "#2a6fbb", "#3c873a", "#888888", "#d03030"
SHOWN_MOST = 1.5
"""The ratio at which the left panel ends; what stands beside a bar says what it is."""


def plot(results: Sequence[Result], path: Path) -> None:
    """Writes a PNG of two panels with a row for each load: the gateway's cost as a part of Node's, and what Valkey does
    for each message."""
    import matplotlib

    matplotlib.use("Agg")  # a file, no window
    from matplotlib import pyplot

    rows = [each for each in reversed(results) if each.ratio(GATEWAY, NODE, each.goals[0].figure) is not None]
    figure, (left, right) = pyplot.subplots(
        1, 2, figsize=(13, 1.8 + 0.42 * max(1, len(rows))), sharey=True, width_ratios=(3, 2)
    )
    for place, result in enumerate(rows):
        _ratios(left, place, result)
        _valkey(right, place, result)
    left.set_yticks(range(len(rows)), [result.title for result in rows])
    _label(left, right)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _ratios(panel: Axes, place: int, result: Result) -> None:
    goal = result.goals[0]
    ratio = result.ratio(GATEWAY, NODE, goal.figure)
    if ratio is not None and not goal.figure.startswith("valkey"):  # that is the right panel
        _bar(panel, place, ratio, BLUE, 0.5, SHOWN_MOST)
    again = result.ratio(GATEWAY, AGAIN, goal.figure)
    if again is not None:
        panel.errorbar(
            again.middle,
            place - 0.34,
            xerr=_ends(again),
            fmt="o",
            color=GREY,
            markersize=4,
            linewidth=1,
            capsize=2,
        )
    if goal.against == NODE and isfinite(goal.limit):
        panel.plot([goal.limit], [place], marker="|", color=RED, markersize=16, markeredgewidth=2)


def _valkey(panel: Axes, place: int, result: Result) -> None:
    for label, shift, colour in ((GATEWAY, 0.2, BLUE), (NODE, -0.2, GREEN)):
        found = result.figure(label, "valkey_us_per_message")
        if found is not None:
            _bar(panel, place + shift, found, colour, 0.36)


def _bar(
    panel: Axes, place: float, found: Spread, colour: str, height: float, at: float | None = None
) -> None:
    """With its middle as text behind it, or `at` a place."""
    panel.barh(
        place, found.middle, height=height, color=colour, xerr=_ends(found), ecolor="#222222", capsize=2
    )
    panel.text(found.most if at is None else at, place, f"  {found.middle:.2f}", va="center", fontsize=8)


def _ends(found: Spread) -> list[list[float]]:
    return [[max(0.0, found.middle - found.least)], [max(0.0, found.most - found.middle)]]


def _label(left: Axes, right: Axes) -> None:
    left.axvline(1, color="black", linewidth=0.8)
    left.set_xlim(0, SHOWN_MOST)
    left.set_title(
        "Cost as a part of Node's (1: the same; blue), least to most\nred: the goal; grey: the gateway against itself"
    )
    left.set_xlabel("CPU of the servers; memory where the row says so")
    right.set_xlim(0, right.get_xlim()[1] * 1.2)
    right.set_title("Valkey's CPU per message, µs\nblue: gateway; green: Node")
