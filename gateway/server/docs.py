"""`gateway docs`: the tables of options, error codes, methods and metrics, in Markdown, as the code has them.

Owns the form of the tables and the places in `docs/` where they stand: between `<!-- generated: NAME -->` and
`<!-- end -->`. Changes nothing else of a page.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import orjson

from gateway import metrics
from gateway.api import openapi
from gateway.api.fields import fields_of
from gateway.api.methods import METHODS
from gateway.option_types import Option
from gateway.protocol import ERRORS
from gateway.settings import grouped_options


def options() -> str:
    """Every option, in a table for each group. An option of two groups stands in the first."""
    shown: set[str] = set()
    tables = []
    for _, about, group in grouped_options():
        rows = [_option_row(each) for _, each in group if each.variable not in shown]
        shown |= {each.variable for _, each in group}
        if rows:
            heading = ("variable", "what it does, and when to change it", "allowed", "default")
            tables.append(f"**{about}**\n\n{_table(heading, rows)}")
    return "\n".join(tables)


def errors() -> str:
    """Every error code that a client or a backend may be told; `HTTP` is the status of the server API."""
    rows = (
        (f"`{code}`", kind.sentence, "yes" if kind.is_retryable else "no", str(kind.http_status))
        for code, kind in ERRORS.items()
    )
    return _table(("code", "says", "retryable", "HTTP"), rows)


def methods() -> str:
    """Every method of the server API, in the words of its description."""
    described = orjson.loads(openapi.document())["paths"]
    rows = (
        (f"`{name}`", described[f"/{name}"]["post"]["summary"], f"`{row.scope}`" if row.scope else "any",
         _fields(row.request), row.answers or "nothing")
        for name, row in METHODS.items()
    )  # fmt: skip
    return _table(("method", "what it does", "scope", "fields", "answers"), rows)


def _fields(request: type) -> str:
    rows = sorted(fields_of(request), key=lambda each: not each.is_needed)
    return ", ".join(f"`{each.name}`{'' if each.is_needed else '?'}" for each in rows)


def counters() -> str:
    """Every metric of a worker."""
    rows = (
        (f"`{each.name}`", each.kind, ", ".join(f"`{label}`" for label in each.labels) or "–", each.meaning)
        for each in metrics.ALL
    )
    return _table(("metric", "type", "labels", "counts"), rows)


BLOCKS: dict[str, tuple[str, Callable[[], str]]] = {
    "options": ("options.md", options),
    "errors": ("protocol.md", errors),
    "methods": ("server-api.md", methods),
    "metrics": ("metrics.md", counters),
}
"""The name of each block, the page that has it, and what fills it."""


def everything() -> str:
    """All tables, for reading."""
    return "\n".join(f"## {name.capitalize()}\n\n{table()}" for name, (_, table) in BLOCKS.items())


def fill(folder: Path) -> None:
    """Writes the tables into the pages of a folder."""
    for path, text in filled(folder):
        path.write_text(text, encoding="utf-8")


def filled(folder: Path) -> Iterator[tuple[Path, str]]:
    """Every page that has a block, with the text that it should have. Raises ValueError for a page without it."""
    for name, (page, table) in BLOCKS.items():
        path = folder / page
        begin, end = f"<!-- generated: {name} -->\n", "<!-- end -->"
        block = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        wanted = f"{begin}\n{table()}\n{end}"
        text, count = block.subn(lambda _: wanted, path.read_text(encoding="utf-8"))  # noqa: B023 -- used at once
        if count != 1:
            raise ValueError(f"{path} must have one block {begin.strip()} … {end}")
        yield path, text


def _option_row(option: Option) -> tuple[str, str, str, str]:
    default = f"`{option.default}`" if _is_literal(option.default) else option.default
    return f"`{option.variable}`", option.meaning, option.kind.in_short, default or "none"


def _is_literal(default: str) -> bool:
    """Whether a default can be written into the variable as it stands."""
    return bool(default) and " " not in default


def _table(heading: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    head, *body = (f"| {' | '.join(cells)} |\n" for cells in (heading, *rows))
    return "".join((head, "|---" * len(heading) + "|\n", *body))
