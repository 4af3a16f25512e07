"""Runs tests on the fast build: `uv run python deploy/fast/test.py [ARGUMENTS OF PYTEST]`; without any the whole suite.

Builds the wheel, and runs in a copy of this checkout whose package is what the wheel holds, in an environment of its
own where the wheel is installed: every process that a test starts runs compiled, too. Nothing changes in the checkout.

That they do is not taken for granted: each process notes which build it loads (`watch.py`). The last line says how many
did; a process that ran the sources fails the run, and so does a run in which none was compiled.
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
NOWHERE = Path("nowhere")
"""In a note: there is no such module."""
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
    (packages,) = (folder / ".venv/lib").glob("python*/site-packages")
    shutil.copy(Path(__file__).parent / "watch.py", packages / "gateway_fast_watch.py")
    (packages / "gateway_fast_watch.pth").write_text("import gateway_fast_watch\n")
    return python


def judge(notes: str, own: Path) -> tuple[str, bool]:
    """Which builds ran under a folder, in a sentence, and whether all were compiled: of `watch.py`'s lines. What lies
    elsewhere is no part of it: a test runs the release before this one, from its own folder."""
    rows = [line.split("\t") for line in notes.splitlines()]
    loads = [(pid, name, Path(origin), by) for pid, name, origin, by in rows]
    ours = [load for load in loads if load[2].is_relative_to(own) or load[2] == NOWHERE]
    compiled = {(pid, name) for pid, name, origin, _ in ours if origin.suffix == ".so"}
    plain = sorted({f"{pid} {name} {by}" for pid, name, origin, by in ours if origin.suffix != ".so"})
    processes = {pid for pid, _ in compiled}
    told = f"{len(processes)} processes loaded compiled modules; {len(plain)} did not"
    return "\n".join([told, *plain]), bool(processes and not plain)


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
        notes = folder / "notes"
        notes.touch()
        environment["FAST_BUILD_NOTES"] = str(notes)
        command = [str(python), "-m", "pytest", *arguments]
        status = subprocess.run(command, cwd=folder / "tree", env=environment).returncode
        told, is_compiled = judge(notes.read_text(), folder)
        print(told)
        return status if is_compiled else status or 1


if __name__ == "__main__":
    raise SystemExit(run_tests(sys.argv[1:]))
