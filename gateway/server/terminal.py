"""What commands need of a terminal: colours where they are wanted, tables that fit, and a screen that is drawn again.

Colours are left out where the output is no terminal, and where NO_COLOR is set (https://no-color.org). What others have
written, such as names of rooms, is shown without control characters, so that nobody's name draws on the screen.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

HOME_AND_CLEAR = "\x1b[H\x1b[J"


def is_coloured(stream: Any = None) -> bool:
    """Whether colours are wanted on a stream; standard output without one."""
    return bool((stream or sys.stdout).isatty()) and not os.environ.get("NO_COLOR")


def paint(text: str, colour: str, **more: Any) -> str:
    """The text in a colour, where colours are wanted."""
    return click.style(text, fg=colour, **more) if is_coloured() else text


def safe(text: object, most: int = 0) -> str:
    """A text as others wrote it, without what moves a cursor; cut to `most` characters, if that is given."""
    shown = "".join(each if each.isprintable() else "·" for each in str(text))
    return shown if not most or len(shown) <= most else shown[: most - 1] + "…"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table that fits the terminal: the first column is cut where it must be. Columns but the first are
    aligned to the right."""
    body = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(headings, *body, strict=True)]
    room = shutil.get_terminal_size((100, 24)).columns - sum(widths[1:]) - 2 * len(widths)
    if sys.stdout.isatty():
        widths[0] = max(min(widths[0], room), 8)
    return [_row(each, widths) for each in (list(headings), *body)]


def _row(cells: list[str], widths: list[int]) -> str:
    first, *rest = cells
    first = first if len(first) <= widths[0] else first[: widths[0] - 1] + "…"
    shown = [
        first.ljust(widths[0]),
        *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)),
    ]
    return "  ".join(shown).rstrip()


def draw(lines: Sequence[str], is_again: bool) -> None:
    """Prints lines; with `is_again`, on a terminal, in the place of those before, as far as they fit."""
    if is_again and sys.stdout.isatty():
        height = shutil.get_terminal_size((80, 24)).lines - 1
        if len(lines) > height:
            lines = [*lines[: height - 1], f"… {len(lines) - height + 1} more lines"]
        click.echo(HOME_AND_CLEAR + "\n".join(lines))
    else:
        click.echo("\n".join(lines))
