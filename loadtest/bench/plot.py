"""The ratios as a picture."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from loadtest.bench.report import FIGURES, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"gateway": "#2a6fbb", "stock": "#c9c9c9"}
_MARKS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20)


def plot(results: list[Result], path: Path) -> None:
    """Writes a PNG: a panel for each figure, a bar for each comparison, 1 where both cost the same, goals as ticks."""
    import matplotlib

    matplotlib.use("Agg")  # a file, no window
    from matplotlib import pyplot

    rows = [(result, lane.label) for result in reversed(results) for lane in reversed(result.others())]
    height = 1.5 + 0.32 * len(rows)
    figure, panels = pyplot.subplots(1, len(FIGURES), figsize=(16, height), sharey=True)
    for panel, (name, title) in zip(panels, FIGURES.items(), strict=True):
        for place, (result, label) in enumerate(rows):
            _bar(panel, place, result, label, name)
        _scale(panel, title)
    names = [f"{result.contest.name}: {label} / {result.contest.against}" for result, label in rows]
    panels[0].set_yticks(range(len(rows)), names)
    figure.suptitle("Ratios, medians of pairs: further left is cheaper; the red ticks are the goals")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _bar(panel: Axes, place: int, result: Result, label: str, name: str) -> None:
    """A bar from 1: to the left for less, to the right for more."""
    ratio = result.ratio(label, name)
    if ratio is None or ratio.middle <= 0:
        return
    panel.barh(place, ratio.middle - 1, left=1, color=_COLOURS.get(label, "#888888"))
    panel.text(ratio.middle, place, f" {ratio.middle:.2f} ", va="center", fontsize=7)
    goal = result.contest.goals.get(name)
    if goal is not None and isfinite(goal) and label == "gateway":
        panel.plot([goal], [place], marker="|", color="#d03030", markersize=14)


def _scale(panel: Axes, title: str) -> None:
    low, high = panel.get_xlim()
    panel.set_xscale("log")
    panel.set_xticks(_MARKS, [f"{mark:g}" for mark in _MARKS], minor=False)
    panel.minorticks_off()
    panel.set_xlim(0.01 if low < 0.1 else 0.1, max(high, 2) * 1.6)
    panel.axvline(1, color="black", linewidth=0.8)
    panel.set_title(title)
