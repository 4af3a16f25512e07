"""How often each fault is repeated: a few times in the default run, more under the mark `long`."""

from __future__ import annotations

import os

import pytest

SEED = int(os.environ.get("FAULTS_SEED", "1"))
LONG_LIMIT_S = 600


def repeated(quick: int | None, long: int | None) -> pytest.MarkDecorator:
    """Gives the fixture `stage` its seed and its number of repetitions: for a quick run, a long one, or both."""
    runs = []
    if quick is not None:
        runs.append(pytest.param((SEED, quick), id="quick"))
    if long is not None:
        marks = (pytest.mark.long, pytest.mark.timeout(LONG_LIMIT_S))
        runs.append(pytest.param((SEED + 1, long), marks=marks, id="long"))
    return pytest.mark.parametrize("stage", runs, indirect=True)
