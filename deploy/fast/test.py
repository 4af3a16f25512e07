"""Runs tests on the fast build: `uv run python deploy/fast/test.py [ARGUMENTS OF PYTEST]`; without any the whole suite.

Builds the wheel, and runs in a copy of this checkout whose package is what the wheel holds, in an environment of its
own where the wheel is installed: every process that a test starts runs compiled, too. Nothing changes in the checkout.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
UV = shutil.which("uv") or "uv"
NOT_IN_THE_WHEEL = (
    "gateway",
    ".venv",
    ".git",
    ".uv",
    "node_modules",
    "__pycache__",
    ".mypy_cache",
    ".pytest_cache",
)


def build_wheel(folder: Path) -> Path:
    """The wheel of the fast build, made in a folder."""
    run([UV, "build", "--quiet", "--wheel", "--out-dir", str(folder)], ROOT, GATEWAY_FAST="1")
    return next(folder.glob("*.whl"))


def make_copy(folder: Path, wheel: Path) -> Path:
    """A copy of the checkout with the package of the wheel, and an environment that has the wheel: its Python."""
    shutil.copytree(ROOT, folder, ignore=lambda at, names: [n for n in names if _is_left_out(Path(at), n)])
    if (ROOT / "tests/system/js/node_modules").exists():
        (folder / "tests/system/js/node_modules").symlink_to(ROOT / "tests/system/js/node_modules")
    zipfile.ZipFile(wheel).extractall(folder)
    run([UV, "sync", "--quiet", "--all-groups", "--no-install-project"], folder)
    python = folder / ".venv/bin/python"
    run([UV, "pip", "install", "--quiet", "--no-deps", "--python", str(python), str(wheel)], folder)
    return python


def _is_left_out(folder: Path, name: str) -> bool:
    return name in NOT_IN_THE_WHEEL and (name != "gateway" or folder == ROOT)


def run(command: list[str], cwd: Path, **more: str) -> None:
    """Runs a program that must succeed; it knows nothing of the environment that this one runs in."""
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    subprocess.run(command, cwd=cwd, env={**environment, **more}, check=True)


def run_tests(arguments: list[str]) -> int:
    """Builds, copies, and runs pytest; its exit status."""
    with tempfile.TemporaryDirectory(prefix="gateway-fast-") as temporary:
        folder = Path(temporary)
        python = make_copy(folder / "tree", build_wheel(folder / "wheel"))
        environment = {**os.environ, "UV_NO_SYNC": "1", "PATH": f"{python.parent}:{os.environ['PATH']}"}
        environment.pop("VIRTUAL_ENV", None)
        command = [str(python), "-m", "pytest", *arguments]
        return subprocess.run(command, cwd=folder / "tree", env=environment).returncode


if __name__ == "__main__":
    raise SystemExit(run_tests(sys.argv[1:]))
