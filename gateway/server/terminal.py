"""What commands need of a terminal: colours where they are wanted, and tables that fit.

Colours are left out where the output is no terminal, and where NO_COLOR is set (https://no-color.org). What others have
written, such as names of rooms, is shown without control characters, so that nobody's name draws on the screen.
"""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import click


def is_coloured(stream: Any = None) -> bool:
    """Whether colours are wanted on a stream; standard output without one."""
    return bool((stream or sys.stdout).isatty()) and not os.environ.get("NO_COLOR")


def paint(text: str, colour: str, **more: Any) -> str:
    """The text in a colour, where colours are wanted."""
    return click.style(text, fg=colour, **more) if is_coloured() else text


def safe(text: object, most: int = 0) -> str:
    """A text as others wrote it, without what moves a cursor; cut to `most` columns, if that is given."""
    shown = "".join(each if each.isprintable() else "·" for each in str(text))
    return cut(shown, most) if most else shown


def width(text: str) -> int:
    """How many columns a printable text takes: an East Asian character or an emoji two, an accent of its own none."""
    return sum(map(_columns, text)) if not text.isascii() else len(text)


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def cut(text: str, most: int) -> str:
    """The text, or as much of it as fits into so many columns with an ellipsis."""
    if width(text) <= most:
        return text
    kept, taken = "", 0
    for each in text:
        taken += _columns(each)
        if taken >= most:
            break
        kept += each
    return f"{kept}…"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table that fits the terminal: the first column is cut where it must be. Columns but the first are
    aligned to the right."""
    body = [list(row) for row in rows]
    widths = [max(map(width, column)) for column in zip(headings, *body, strict=True)]
    room = shutil.get_terminal_size((100, 24)).columns - sum(widths[1:]) - 2 * (len(widths) - 1)
    if sys.stdout.isatty():
        widths[0] = max(min(widths[0], room), 8)
    return [_row(each, widths) for each in (list(headings), *body)]


def _row(cells: list[str], widths: list[int]) -> str:
    first, *rest = cells
    first = cut(first, widths[0])
    shown = [
        first + " " * (widths[0] - width(first)),
        *(" " * (most - width(cell)) + cell for cell, most in zip(rest, widths[1:], strict=True)),
    ]
    return "  ".join(shown).rstrip()


def counted(number: int, what: str) -> str:
    """A number of things, in words."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
