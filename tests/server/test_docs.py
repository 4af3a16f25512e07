"""The tables in `docs/` are those of the code, and `gateway docs` prints them."""

from __future__ import annotations

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


def test_the_tables_in_the_documentation_are_those_of_the_code() -> None:
    for path, wanted in filled(DOCS):
        assert path.read_text() == wanted, f"{path.name} is stale: run `gateway docs --write docs`"


def test_everything_that_has_a_name_is_in_a_table() -> None:
    text = everything()
    variables = {option.variable for _, _, options in grouped_options() for _, option in options}
    for name in (*variables, *ERRORS, *(metric.name for metric in ALL)):
        assert text.count(f"\n| `{name}` |") == 1, name


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
