"""The fast build: one command makes it, it says what it is, and the core of the suite holds on it.

The whole suite on it: `uv run python deploy/fast/test.py -n 2`.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from gateway.builds import PLAIN, build_name
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


def script(name: str) -> ModuleType:
    """A file of `deploy/fast`, which is no package."""
    spec = importlib.util.spec_from_file_location(f"fast_{name}", TOP / "deploy" / "fast" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_process_notes_which_build_it_loads(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    code = "import sys; sys.path.insert(0, sys.argv[1]); import watch, gateway.protocol"
    subprocess.run(
        [sys.executable, "-c", code, TOP / "deploy" / "fast"],
        cwd=TOP, env={**os.environ, script("watch").NOTES: str(notes)}, timeout=60, check=True,
    )  # fmt: skip
    # In the copy that the fast build is tested in, the process watches twice.
    (line,) = set(notes.read_text().splitlines())
    row = line.split("\t")
    expected = ".py" if build_name() == PLAIN else ".so"
    assert row[1] == "gateway.protocol"
    assert Path(row[2]).is_relative_to(TOP)
    assert row[2].endswith(expected)


COMPILED = "1\tgateway.protocol\t/own/a.so\tx\n1\tgateway.rooms._send\t/own/b.so\tx\n"
JUDGED = {
    "all compiled": (COMPILED, True),
    "one runs the sources": (f"{COMPILED}2\tgateway.protocol\t/own/a.py\tx\n", False),
    "another release runs the sources, elsewhere": (f"{COMPILED}2\tgateway.protocol\t/before/a.py\tx\n", True),
    "the C loop is not there": (f"{COMPILED}2\tgateway.rooms._send\tnowhere\tx\n", False),
    "nothing ran": ("", False),
}  # fmt: skip


@pytest.mark.parametrize("case", JUDGED)
def test_a_run_fails_if_one_process_was_not_compiled(case: str) -> None:
    notes, is_compiled = JUDGED[case]
    told, found = script("test").judge(notes, Path("/own"))
    assert found is is_compiled, told


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
