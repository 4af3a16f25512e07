"""Every block of code in the documentation is run, or is data that is parsed, or it is said why not."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

import pytest

from gateway.access.config_file import ConfigFile
from gateway.access.room_table import rules_in
from gateway.settings import Settings, grouped_options
from tests.support.page_blocks import PAGES
from tests.support.pages import REPOSITORY, By, Data, NotRun, blocks, found

EVERY_PAGE = sorted(
    str(path.relative_to(REPOSITORY))
    for path in (
        REPOSITORY / "README.md",
        REPOSITORY / "deploy/README.md",
        *(REPOSITORY / "docs").glob("*.md"),
    )
)


@pytest.mark.parametrize("page", EVERY_PAGE)
def test_every_block_has_an_entry_and_every_entry_a_block(page: str) -> None:
    used = [found(block, PAGES.get(page, {})) for block in blocks(page)]
    assert sorted(used) == sorted(PAGES.get(page, {}))


@pytest.mark.parametrize("page", EVERY_PAGE)
def test_every_page_begins_with_whom_it_is_for(page: str) -> None:
    """The README's first lines say it in their own way."""
    head, _, text = (REPOSITORY / page).read_text().partition("\n\n")
    assert head.startswith("# ")
    assert page == "README.md" or re.match(r"\*?For who", text)


def test_every_page_with_an_entry_exists() -> None:
    assert set(PAGES) <= set(EVERY_PAGE)


BY = [(page, how) for page, entries in PAGES.items() for how in entries.values() if isinstance(how, By)]


@pytest.mark.parametrize(("page", "how"), BY, ids=[f"{page}-{how.name[:40]}" for page, how in BY])
def test_the_test_that_runs_it_exists_and_reads_the_page(page: str, how: By) -> None:
    code = (REPOSITORY / how.path).read_text()
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    assert how.name in {each.name for each in ast.walk(ast.parse(code)) if isinstance(each, functions)}
    assert page in code, f"{how.path} does not read {page}"


DATA = [
    (page, block, how)
    for page, entries in PAGES.items()
    for block in blocks(page)
    if isinstance(how := entries[found(block, entries)], Data)
]


@pytest.mark.parametrize(("page", "block", "how"), DATA, ids=[str(block) for _, block, _ in DATA])
def test_data_is_what_it_is_said_to_be(page: str, block: Any, how: Data) -> None:
    if how.kind == "json":
        try:
            json.loads(block.text)
        except ValueError:
            for line in block.text.splitlines():
                json.loads(line)
    elif how.kind == "toml":
        assert rules_in(ConfigFile("gateway.toml", block.text))
    else:
        lines = [line.partition("#")[0].strip() for line in block.text.splitlines()]
        variables = dict(line.split("=", 1) for line in lines if line)
        known = {option.variable for _, _, options in grouped_options() for _, option in options}
        assert set(variables) <= known
        Settings.from_environment({"REDIS_URL": "redis://127.0.0.1:6379/0", **variables})


def test_what_is_not_run_has_a_reason() -> None:
    reasons = [
        how.reason for entries in PAGES.values() for how in entries.values() if isinstance(how, NotRun)
    ]
    assert all(len(reason.split()) > 1 for reason in reasons)


def test_the_hook_of_the_page_lets_in_who_is_invited() -> None:
    pytest.importorskip("flask", reason="Flask comes with the group `load`")
    page = (REPOSITORY / "docs/rooms.md").read_text()
    (code,) = (each for each in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "/may-join" in each)
    names: dict[str, Any] = {"__name__": "may_join"}
    exec(code, names)
    (asked,) = (line for line in page.splitlines() if '"hook": "join"' in line)
    client = names["app"].test_client()
    assert client.post("/may-join", json=json.loads(asked)).get_json() == {
        "allow": ["join", "send"],
        "ttl_s": 60,
    }
    stranger = {**json.loads(asked), "user": "7"}
    assert client.post("/may-join", json=stranger).get_json() == {"allow": [], "ttl_s": 60}


LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")


def _anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower().replace("`", "")) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", EVERY_PAGE)
def test_every_link_leads_somewhere(page: str) -> None:
    path = REPOSITORY / page
    for target, anchor in LINK.findall(path.read_text()):
        if "://" in target or target.startswith("mailto:"):
            continue
        there = (path.parent / target).resolve() if target else path
        assert there.exists(), target
        if anchor and there.suffix == ".md":
            assert anchor in _anchors(there.read_text()), f"{target}#{anchor}"


def test_the_index_has_every_page() -> None:
    index = (REPOSITORY / "docs/README.md").read_text()
    for page in (REPOSITORY / "docs").glob("*.md"):
        assert page.name == "README.md" or f"({page.name}" in index, page.name
