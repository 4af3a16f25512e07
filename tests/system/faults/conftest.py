"""What the fault tests share: their stage, and the figures they measured, printed at the end and written to a file.

The file is `faults.json` in pytest's temporary folder, or where the environment variable FAULTS_REPORT says.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.system.faults.scene import Stage

FIGURES: list[dict[str, Any]] = []


@pytest.fixture
def stage(request: pytest.FixtureRequest) -> Stage:
    """Scenes for a test that is `repeated`, which gives the seed and how often."""
    seed, times = request.param
    return Stage(request.node.name.removeprefix("test_"), seed, times, FIGURES)


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
