"""The blocks of code on the pages of the documentation, and what may be done with each of them.

A page cannot say by itself that a command was tried. So each block has an entry in `tests/support/page_blocks.py`: it
is run as it stands, or by a test that is named, or it is data that is parsed, or the entry says why it cannot be run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Block:
    """One block: where it stands, its language (empty where none is said), and its text."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True, slots=True)
class Shell:
    """Commands, one after the other in one folder. `ways` has one word for each: `ends` (with 0), or `serves` (a
    gateway is ready, and is stopped). Where lines begin with `$`, what follows a command is what it must say.
    """

    ways: tuple[str, ...]
    before: str = ""
    """Commands that make what the page takes for granted."""
    serves_already: bool = False
    """Whether a gateway runs meanwhile."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program in Python or JavaScript that talks with a gateway, and at last has said what is named. What stands
    before and after it makes what the page takes for granted, and says what came of it.
    """

    says: str
    before: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class By:
    """A test that runs it."""

    path: str
    name: str


@dataclass(frozen=True, slots=True)
class Data:
    """`json` (one value, or one a line), `toml` (the gateway's configuration), or `options` (NAME=value)."""

    kind: str


@dataclass(frozen=True, slots=True)
class NotRun:
    """Why it is not run."""

    reason: str


How = Shell | Program | By | Data | NotRun


def blocks(page: str) -> list[Block]:
    """All blocks of a page, fenced or indented."""
    tokens = MarkdownIt().parse((REPOSITORY / page).read_text())
    return [
        Block(page, each.map[0] + 1, each.info.strip(), each.content)
        for each in tokens
        if each.type in ("fence", "code_block") and each.map is not None
    ]


def found(block: Block, entries: dict[str, How]) -> str:
    """The key of its entry: the beginning of one of its lines. Raises LookupError unless there is exactly one."""
    lines = [line.strip() for line in block.text.splitlines()]
    keys = [key for key in entries if any(line.startswith(key) for line in lines)]
    if len(keys) != 1:
        raise LookupError(
            f"{block} has {len(keys)} entries in tests/support/page_blocks.py: {keys}; {lines[:2]}"
        )
    return keys[0]


def commands(text: str) -> list[tuple[str, str]]:
    """The commands of a shell's block, each with what it says (empty where the page does not show it)."""
    joined = re.sub(r"\\\n\s*", " ", text)
    lines = joined.splitlines()
    if not any(line.startswith("$ ") for line in lines):
        return [(line, "") for line in lines if line.strip()]
    shown: list[tuple[str, str]] = []
    for line in lines:
        if line.startswith("$ "):
            shown.append((line.removeprefix("$ "), ""))
        else:
            command, said = shown.pop()
            shown.append((command, f"{said}{line}\n"))
    return shown


def says(shown: str) -> re.Pattern[str]:
    """A pattern of what a page shows: `…` is anything, and so are ids, numbers and times in place of others."""
    pattern = ""
    for part in re.split(r"(…|[0-9a-f]{8,}|\d+)", shown.rstrip("\n")):
        if part == "…":
            pattern += r"[\s\S]*?"
        elif re.fullmatch(r"[0-9a-f]{8,}", part):
            pattern += r"[0-9a-f]+"
        elif part.isdigit():
            pattern += r"\d+"
        else:
            pattern += re.escape(part)
    return re.compile(pattern)
