"""Results in a folder: `results.json` and the picture. What is published lies in `results/` beside this.

A contest that is measured again replaces what was stored of it; the others stay, each with its own date.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loadtest.bench.contests import contests
from loadtest.bench.plot import plot
from loadtest.bench.report import Result

RESULTS = Path(__file__).parent / "results"


def read(folder: Path) -> tuple[dict[str, str], list[Result]]:
    """What a folder holds: facts about the machine, and results in the order of the contests."""
    file = folder / "results.json"
    if not file.exists():
        return {}, []
    found: dict[str, Any] = json.loads(file.read_text())
    return found["about"], [Result.from_json(each) for each in found["results"]]


def write(folder: Path, about: dict[str, str], results: Sequence[Result]) -> list[Result]:
    """Adds results to those of a folder, and draws the picture anew; returns all."""
    _, before = read(folder)
    merged = {each.name: each for each in (*before, *results)}
    order = [each.name for each in contests()]
    whole = sorted(
        merged.values(), key=lambda each: order.index(each.name) if each.name in order else len(order)
    )
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"about": about, "results": [each.as_json() for each in whole]}, indent=1)
    (folder / "results.json").write_text(text + "\n")
    plot(whole, folder / "ratios.png")
    return whole
