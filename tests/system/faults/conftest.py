"""What the fault tests share: the figures they measured, printed at the end and written to a file.

The file is `faults.json` in pytest's temporary folder, or where the environment variable FAULTS_REPORT says.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loadtest.ledger import Report

Record = Callable[..., None]
FIGURES: list[dict[str, Any]] = []


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Record:
    """Keeps a run's figures: `record(report, repetitions, connections, resumed_s=1.2)`; more figures by name."""

    def keep(report: Report, repetitions: int, connections: int, **more: float) -> None:
        FIGURES.append(
            {
                "test": request.node.name.removeprefix("test_"),
                "repetitions": repetitions,
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

    return keep


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Prints the figures as a table and writes them down."""
    if not FIGURES:
        return
    path = Path(os.environ.get("FAULTS_REPORT") or _temporary(config) / "faults.json")
    path.write_text(json.dumps(FIGURES, indent=1))
    terminalreporter.section("faults, as the ledger saw them")
    for figures in FIGURES:
        rest = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in list(figures.items())[1:])
        terminalreporter.write_line(f"{figures['test']}: {rest}")
    terminalreporter.write_line(f"written to {path}")


def _temporary(config: pytest.Config) -> Path:
    factory: pytest.TempPathFactory = config._tmp_path_factory  # type: ignore[attr-defined]
    return factory.getbasetemp()
