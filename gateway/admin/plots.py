"""Small plots as inline SVG, made on the server. Functions of values."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.admin.html import Html, el

WIDTH, HEIGHT, PAD = 160, 36, 2


def plot(values: Sequence[float], label: str) -> Html:
    """A line with the area under it, from 0 to the highest value; what it shows stands in its title."""
    if not values:
        return el("span", "no figures yet", class_="muted plot-empty")
    top = max(*values, 1e-9)
    points = list(_points(values, top))
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    area = f"{points[0][0]:.1f},{HEIGHT} {line} {points[-1][0]:.1f},{HEIGHT}"
    return el(
        "svg",
        el("title", f"{label}: now {values[-1]:,g}, at most {max(values):,g}"),
        el("polygon", points=area, class_="area"),
        el("polyline", points=line, class_="line"),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        preserveAspectRatio="none",
        class_="plot",
        role="img",
        aria_label=f"{label} over the last minutes: now {values[-1]:,g}, at most {max(values):,g}",
    )


def _points(values: Sequence[float], top: float) -> list[tuple[float, float]]:
    step = WIDTH / max(len(values) - 1, 1)
    usable = HEIGHT - 2 * PAD
    points = [(at * step, HEIGHT - PAD - usable * value / top) for at, value in enumerate(values)]
    return points if len(points) > 1 else [points[0], (float(WIDTH), points[0][1])]


def summed(series: Sequence[Sequence[float]]) -> list[float]:
    """Several workers' values as one, each aligned at its end, which is now."""
    longest = max(map(len, series), default=0)
    return [
        round(sum(each[len(each) - longest + at] for each in series if len(each) - longest + at >= 0), 1)
        for at in range(longest)
    ]
