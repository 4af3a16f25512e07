"""How the gateway comes onto a machine: one line to install, bounded dependencies, and warnings of others."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

TOP = Path(__file__).resolve().parents[1]
LINE = 'python3 -m pip install --target .uv uv && export PATH="$PWD/.uv/bin:$PATH"'
"""Tried on Debian 12, Ubuntu 24.04 (both forbid pip to install for the system) and a Python of python.org."""


def project() -> dict[str, Any]:
    return tomllib.loads((TOP / "pyproject.toml").read_text())


def bounded() -> list[str]:
    found = project()
    groups = [*found["dependency-groups"].values(), *found["project"]["optional-dependencies"].values()]
    return [each for group in (found["project"]["dependencies"], *groups) for each in group]


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/start.md", ".ci/run"])
def test_every_page_installs_by_the_same_line(page: str) -> None:
    text = (TOP / page).read_text()
    assert LINE in text
    assert text.count("pip install") == 1 + text.count("pip install 'python-socketio")
    assert "break-system" not in text.lower().replace("_", "-")


@pytest.mark.parametrize("requirement", [*bounded(), *project()["build-system"]["requires"]])
def test_every_dependency_has_an_upper_bound(requirement: str) -> None:
    assert re.search(r"~=|<", requirement.partition(";")[0]), requirement


def test_uv_and_the_image_take_the_same_releases() -> None:
    constraints = project()["tool"]["uv"]["constraint-dependencies"]
    pinned = dict(line.partition(" ;")[0].split("==") for line in constraints)
    required = (TOP / "deploy/requirements.txt").read_text()
    image = dict(re.findall(r"^([a-z0-9-]+)==([^ ]+)", required, re.MULTILINE))
    assert image
    assert image == {name: version for name, version in pinned.items() if name in image}
    for requirement in bounded():
        name = re.split(r"[\\[~<>=;]", requirement)[0]
        assert name in pinned, name


def test_the_lists_of_releases_name_no_address() -> None:
    lists = ((TOP / "deploy/requirements.txt").read_text(), str(project()["tool"]["uv"]))
    assert not [text for text in lists if "://" in text]


def test_warnings_of_others_are_shown_and_ours_are_errors(tmp_path: Path) -> None:
    filters = "\n    ".join(project()["tool"]["pytest"]["ini_options"]["filterwarnings"])
    (tmp_path / "pytest.ini").write_text(f"[pytest]\nfilterwarnings =\n    {filters}\n")
    (tmp_path / "gateway_of_others.py").write_text(
        "import warnings\ndef old():\n    warnings.warn('old', DeprecationWarning)\n"
    )
    (tmp_path / "gateway").mkdir()
    (tmp_path / "gateway/__init__.py").write_text("")
    (tmp_path / "gateway/ours.py").write_text((tmp_path / "gateway_of_others.py").read_text())
    (tmp_path / "test_both.py").write_text(
        "import sys; sys.path.insert(0, '.')\n"
        "import gateway_of_others, gateway.ours\n"
        "def test_theirs(): gateway_of_others.old()\n"
        "def test_ours(): gateway.ours.old()\n"
        "def test_left_open(): socket = __import__('socket').socket(); del socket\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "."]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert "test_both.py::test_ours" in ran.stdout.partition("short test summary")[2]
    assert "test_both.py::test_left_open" in ran.stdout.partition("short test summary")[2]
    assert "2 failed, 1 passed" in ran.stdout, ran.stdout
