"""On which line of a TOML text something stands: the standard library's parser does not say.

Asks that parser itself about the beginnings of the text: what first makes something appear is where it stands. So
strings over several lines, comments and unusual spellings are read as TOML has them.

A plain text, that is tables with one short value a line, is read at once (`plain_tables`): the parser takes 15 ms for
a thousand rules, and each worker reads the file when it starts. Values only.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Collection
from typing import Any

Document = dict[str, Any]

_STRING = r'"[^"\\\x00-\x08\x0a-\x1f\x7f]*"'
_PLAIN = re.compile(
    rf"""[ \t]* (?: \[\[ ([A-Za-z_]+) \]\] | ([A-Za-z0-9_]+) [ \t]*=[ \t]*
    (?: ({_STRING}) | (true|false) | (0|[1-9][0-9]{{0,8}})
      | (\[ [ \t]* (?:{_STRING} [ \t]* (?:,[ \t]* {_STRING} [ \t]*)* (?:,[ \t]*)? )? \]) ) )?
    [ \t]* (?: \# [^\x00-\x08\x0a-\x1f\x7f]* )?""",
    re.VERBOSE,
)
"""A line of a plain text: a header, or a key with a text without escapes, true, false, a whole number or a list of such
texts on one line; a comment."""


def plain_tables(text: str, names: Collection[str]) -> dict[str, tuple[list[Document], list[int]]] | None:
    """By name the tables of a plain text that has no others, and the lines of their headers; None for any other text,
    whatever it is."""
    read: dict[str, tuple[list[Document], list[int]]] = {name: ([], []) for name in names}
    table: Document | None = None
    for number, line in enumerate(text.split("\n"), 1):
        if not line:
            continue
        found = _PLAIN.fullmatch(line)
        if found is None:
            return None
        begun, key, string, word, digits, listed = found.groups()
        if begun:
            if begun not in read:
                return None
            table = {}
            read[begun][0].append(table)
            read[begun][1].append(number)
        elif key:
            if table is None or key in table:
                return None
            table[key] = string[1:-1] if string else _plain_value(word, digits, listed)
    return read


def _plain_value(word: str | None, digits: str | None, listed: str | None) -> Any:
    if listed is not None:
        return listed.split('"')[1::2]
    return int(digits) if digits else word == "true"


def line_of(text: str, has: Callable[[Document], bool]) -> int:
    """The first line, from 1, of the statement with which `has` becomes true; the whole text must have it."""
    lines = text.split("\n")
    low, high, top = 0, len(lines), len(lines)  # up to `low` it is not there, up to `high` it is
    while top - low > 1:
        middle = (low + top) // 2
        at = next((line for line in range(middle, top) if _read(lines, line) is not None), None)
        if at is None:
            top = middle  # a statement goes on from before the middle up to `high`
        elif has(_read(lines, at) or {}):
            high = top = at
        else:
            low = at
    return min(low + 1, high)


def _read(lines: list[str], count: int) -> Document | None:
    """The document that so many lines are; None where they end inside a statement."""
    try:
        return tomllib.loads("\n".join(lines[:count]))
    except tomllib.TOMLDecodeError:
        return None


def table_lines(text: str, name: str, count: int) -> list[int]:
    """The lines of the headers `[[name]]` of that many tables, in their order."""
    header = re.compile(rf"[ \t]*\[\[[ \t]*{re.escape(name)}[ \t]*\]\]")
    found = [number for number, line in enumerate(text.split("\n"), 1) if header.match(line)]
    if len(found) == count and not ('"""' in text or "'''" in text):
        return found
    # What looks like a header may stand in a string over several lines; or the tables have no such headers.
    return [line_of(text, lambda read, most=place: len(read.get(name, [])) > most) for place in range(count)]  # type: ignore[misc]
