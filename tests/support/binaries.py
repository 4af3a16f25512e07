"""Finding the programs that some tests need; without one a skip on a laptop and a failure where CI is set."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def program(name: str) -> str:
    """The path of a program, looked for where servers usually are too; skips or fails the test without it."""
    path = shutil.which(
        name, path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
    )
    if path is None:
        missing(f"{name} is not installed")
    return path


def missing(reason: str) -> NoReturn:
    """Skips the test with the reason; where the environment variable CI is set, fails it. While a module of tests is
    imported, the same happens to all of it."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason}, and CI is set", pytrace=False)
    pytest.skip(reason, allow_module_level=True)
