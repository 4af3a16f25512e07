"""How many workers a machine, a container or a limited service gets by default."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.cpus import usable_cpus


def counted(tmp_path: Path, limits: dict[str, str], own: str = "0::/a/b\n") -> int:
    """What is counted with these files `cpu.max`, by cgroup."""
    cgroups = tmp_path / "cgroup"
    for name, text in limits.items():
        (cgroups / name).mkdir(parents=True, exist_ok=True)
        (cgroups / name / "cpu.max").write_text(text)
    (tmp_path / "own").write_text(own)
    return usable_cpus(cgroups, tmp_path / "own")


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)


@pytest.mark.parametrize(
    ("limits", "cpus"),
    [
        ({}, 8),
        ({"": "max 100000\n"}, 8),
        ({"": "200000 100000\n"}, 2),  # what a container sees of itself
        ({"a/b": "200000 100000\n"}, 2),
        ({"a": "200000 100000\n", "a/b": "max 100000\n"}, 2),  # the slice around a service
        ({"a": "400000 100000\n", "a/b": "300000 100000\n"}, 3),
        ({"a/b": "150000 100000\n"}, 2),
        ({"a/b": "10000 100000\n"}, 1),
        ({"a/b": "1600000 100000\n"}, 8),
        ({"c": "100000 100000\n"}, 8),  # somebody else's
        ({"a/b": "nonsense\n"}, 8),
        ({"a/b": "100000 0\n"}, 8),
        ({"a/b": ""}, 8),
    ],
)
def test_a_quota_of_any_cgroup_around_counts(tmp_path: Path, limits: dict[str, str], cpus: int) -> None:
    assert counted(tmp_path, limits) == cpus


def test_affinity_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 3}, raising=False)
    assert counted(tmp_path, {}) == 2
    assert counted(tmp_path, {"a/b": "100000 100000"}) == 1


@pytest.mark.parametrize("own", ["", "12:cpu:/x\n", "nonsense", "0::/\n", "0::/gone\n"])
def test_without_cgroup_v2_affinity_is_all_that_counts(tmp_path: Path, own: str) -> None:
    assert counted(tmp_path, {}, own) == 8


def test_where_neither_is_known_there_is_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert usable_cpus(tmp_path, tmp_path / "nothing") == 5
