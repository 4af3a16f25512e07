"""The fast build: one command makes it, it says what it is, and the core of the suite holds on it.

The whole suite on it: `uv run python deploy/fast/test.py -n 2`.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.binaries import program

TOP = Path(__file__).resolve().parents[2]
CORE = [
    "tests/websocket", "tests/transport", "tests/rooms", "tests/chat", "tests/socketio",
    "tests/redis/test_connection.py",
    "tests/system/test_seed.py", "tests/system/test_contract.py", "tests/system/test_fast_build.py",
]  # fmt: skip

MAY = {"_Connection(Connection)"}
"""Its base is redis-py's class of that name."""


def test_without_a_compiler_one_sentence_says_what_to_do(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, TOP / "deploy" / "fast" / "compile.py"],
        cwd=tmp_path, env={**os.environ, "CC": "/nowhere/cc"}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ran.returncode == 1
    (sentence,) = ran.stderr.splitlines()
    assert "no C compiler '/nowhere/cc'" in sentence
    assert "apt-get install gcc" in sentence


def test_a_checkout_holds_no_library_that_would_shadow_its_sources() -> None:
    if "gateway-fast-" in str(TOP):
        pytest.skip("this is the copy that the fast build is tested in")
    assert not [*TOP.glob("*.so"), *(TOP / "gateway").rglob("*.so")]


def compiled() -> list[str]:
    """The modules that are compiled, as `deploy/fast/compile.py` lists them."""
    for node in ast.parse((TOP / "deploy" / "fast" / "compile.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "MODULES":
            return list(ast.literal_eval(node.value))
    raise AssertionError


def classes(module: Path) -> list[ast.ClassDef]:
    return [node for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.ClassDef)]


def test_every_module_that_is_compiled_is_there() -> None:
    assert len(compiled()) > 20
    assert not [name for name in compiled() if not (TOP / "gateway" / f"{name}.py").exists()]


def test_what_extends_a_compiled_class_is_compiled_too() -> None:
    """It could not be made otherwise: `interpreted classes cannot inherit from compiled`."""
    sources = {TOP / "gateway" / f"{name}.py" for name in compiled()}
    names = {found.name for module in sources for found in classes(module)}
    others = set((TOP / "gateway").rglob("*.py")) - sources
    extending = {
        f"{found.name}({ast.unparse(base)})"
        for module in others
        for found in classes(module)
        for base in found.bases
        if ast.unparse(base).partition("[")[0] in names
    }
    assert extending <= MAY


@pytest.mark.system
@pytest.mark.long
@pytest.mark.timeout(1500)
def test_the_core_of_the_suite_holds_on_the_fast_build() -> None:
    program("gcc")
    program("uv")
    command: list[str | Path] = [
        sys.executable,
        TOP / "deploy" / "fast" / "test.py",
        "-q",
        "-p",
        "no:cacheprovider",
        *CORE,
    ]
    ran = subprocess.run(command, cwd=TOP, capture_output=True, text=True, timeout=1400)
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-2000:]
