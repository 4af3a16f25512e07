"""The tables in `docs/` are those of the code, and `gateway docs` prints them."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from gateway import __version__
from gateway.builds import build_name
from gateway.limit_options import LimitOptions
from gateway.metrics import ALL
from gateway.option_types import options_of
from gateway.protocol import ERRORS
from gateway.server.docs import BLOCKS, everything, fill, filled
from gateway.settings import grouped_options

DOCS = Path(__file__).parents[2] / "docs"
PACKAGE = DOCS.parent / "gateway"


def test_the_tables_in_the_documentation_are_those_of_the_code() -> None:
    for path, wanted in filled(DOCS):
        assert path.read_text() == wanted, f"{path.name} is stale: run `gateway docs --write docs`"


def test_everything_that_has_a_name_is_in_a_table() -> None:
    text = everything()
    variables = {option.variable for _, _, options in grouped_options() for _, option in options}
    for name in (*variables, *ERRORS, *(metric.name for metric in ALL)):
        assert text.count(f"\n| `{name}` |") == 1, name


def _warnings() -> set[str]:
    """The log's events of the levels warning and error, of a worker and its master."""
    found = set()
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                is_log = isinstance(node.func.value, ast.Name) and node.func.value.id in ("log", "_log")
                event = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
                if is_log and node.func.attr in ("warning", "error", "exception") and isinstance(event, str):
                    found.add(event)
    return {event for event in found if " " not in event}  # those with blanks are of the clients' libraries


def test_who_is_woken_finds_every_warning_of_the_log_on_a_page() -> None:
    pages = "".join(page.read_text() for page in DOCS.glob("*.md"))
    assert [event for event in sorted(_warnings()) if f"`{event}`" not in pages] == []


def test_a_page_keeps_what_stands_around_its_table(tmp_path: Path) -> None:
    for name, (page, _) in BLOCKS.items():
        (tmp_path / page).write_text(
            f"Before.\n<!-- generated: {name} -->\na stale table\n<!-- end -->\nAfter.\n"
        )
    fill(tmp_path)
    fill(tmp_path)
    for _, (page, table) in BLOCKS.items():
        text = (tmp_path / page).read_text()
        assert text.startswith("Before.\n")
        assert text.endswith("<!-- end -->\nAfter.\n")
        assert text.count(table()) == 1
        assert "a stale table" not in text


def test_a_page_without_a_place_for_its_table_is_named(tmp_path: Path) -> None:
    for page, _ in BLOCKS.values():
        (tmp_path / page).write_text("Nothing.\n")
    with pytest.raises(ValueError, match=r"options\.md must have one block"):
        fill(tmp_path)


def test_the_tables_are_a_command() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "gateway", "docs"], capture_output=True, text=True, timeout=60
    )
    assert (ran.returncode, ran.stderr, ran.stdout) == (0, "", everything())


def test_the_version_is_a_command() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "gateway", "--version"], capture_output=True, text=True, timeout=60
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == f"gateway, version {__version__}, {build_name()} build\n"


def test_the_page_on_limits_has_every_limit_with_its_default() -> None:
    page = (DOCS / "limits.md").read_text()
    for _, option in options_of(LimitOptions):
        shown = (
            f"`{option.variable}`" if " " in option.default else f"`{option.variable}` (`{option.default}`)"
        )
        assert shown in page
