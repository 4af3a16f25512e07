"""The ratios as a picture."""

from __future__ import annotations

from pathlib import Path

from loadtest.bench.report import FIGURES, Result

_COLOURS = {"gateway": "#2a6fbb", "stock": "#c9c9c9"}


def plot(results: list[Result], path: Path) -> None:
    """Writes a PNG: a panel for each figure, a bar for each comparison, 1 where both cost the same; goals as ticks."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [(result, lane.label) for result in reversed(results) for lane in reversed(result.others())]
    figure, panels = pyplot.subplots(1, len(FIGURES), figsize=(16, 1.5 + 0.32 * len(rows)), sharey=True)
    for panel, (name, title) in zip(panels, FIGURES.items(), strict=True):
        for place, (result, label) in enumerate(rows):
            _bar(panel, place, result, label, name)
        panel.axvline(1, color="black", linewidth=0.8)
        panel.set_xscale("log")
        panel.set_title(title)
    panels[0].set_yticks(
        range(len(rows)),
        [f"{result.contest.name}: {label} / {result.contest.against}" for result, label in rows],
    )
    figure.suptitle("Ratios, medians of pairs; further left is cheaper")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _bar(panel: object, place: int, result: Result, label: str, name: str) -> None:
    ratio = result.ratio(label, name)
    if ratio is None or ratio.middle <= 0:
        return
    # Bars grow from 1, to the left for less and to the right for more, as a logarithmic axis wants it.
    panel.barh(place, ratio.middle - 1, left=1, color=_COLOURS.get(label, "#888888"))  # type: ignore[attr-defined]
    panel.text(ratio.middle, place, f" {ratio.middle:.2f} ", va="center", fontsize=7)  # type: ignore[attr-defined]
    goal = result.contest.goals.get(name)
    if goal is not None and label == "gateway":
        panel.plot([goal], [place], marker="|", color="#d03030", markersize=12)  # type: ignore[attr-defined]
