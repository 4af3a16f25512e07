"""The configuration file (`GATEWAY_CONFIG`): lists of things, which environment variables cannot say well.

Owns the file as a whole: its text, which tables it may have, and the sentences for what may not stand there: file,
line, and what was probably meant. What one kind of table says is in a module of its own (`room_table.py`,
`key_table.py`, `webhooks/table.py`), made of `config_values.py`. Single values stay environment variables, and a secret
never stands here.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, NoReturn

from gateway.access.config_values import Value, shown
from gateway.access.toml_lines import Document, line_of, plain_tables, table_lines
from gateway.option_types import SettingsError

BYTES_MAX = 16 * 1024 * 1024
"""Largest file: some 300,000 rules. A larger one is none of ours."""

TABLES = {"room": "rule", "key": "key", "webhook": "webhook"}
"""The lists that may stand in the file, and what one of each is. Each has a module that reads it."""


class TableKind(NamedTuple):
    """One kind of table: its name in brackets, what each of its keys may be, and the keys that it cannot do without,
    each with the end of the sentence that says so."""

    name: str
    values: Mapping[str, Value]
    needed: Mapping[str, str]


Tables = tuple[list[Document], list[int]]
"""The tables of one kind, and the lines on which they begin."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One table of the file, its keys checked one by one."""

    file: ConfigFile
    kind: TableKind
    place: int
    """How many of its kind stand before it."""
    values: Document
    line: int
    """Where it begins."""

    @property
    def where(self) -> str:
        """The file and the line on which it begins, for a sentence that also names another place."""
        return f"{self.file.path}, line {self.line}"

    def refuse(self, sentence: str, key: str | None = None) -> NoReturn:
        """Raises SettingsError with the line of a key, or of the table's beginning. The line is looked for only now."""
        refuse(self.file.path, self.line if key is None else self.file.line_of_key(self, key), sentence)


class ConfigFile:
    """The file, read as TOML; its tables are checked when they are asked for."""

    def __init__(self, path: str, text: str) -> None:
        """Raises SettingsError for a text that is no TOML, has an unknown table, or none at all."""
        self.path = path
        self._text = text
        self._read = plain_tables(text, TABLES) or _tables(path, text)
        if not any(tables for tables, _ in self._read.values()):
            refuse(path, 1, "there is no [[room]] and no other table: the file says nothing")

    def entries(self, kind: TableKind) -> list[Entry]:
        """The tables of one kind, in their order. Raises SettingsError for a key or a value that cannot be meant."""
        tables, lines = self._read.get(kind.name, ([], []))
        return [
            self._checked(Entry(self, kind, place, table, lines[place])) for place, table in enumerate(tables)
        ]

    def _checked(self, entry: Entry) -> Entry:
        kind = entry.kind
        for name, given in entry.values.items():
            value = kind.values.get(name)
            if value is None:
                meant = _meant(name, kind.values, "{!r}")
                entry.refuse(f"{name!r} is no key of [[{kind.name}]]{meant}", name)
            if not value.is_allowed(given):
                entry.refuse(value.sentence(name, given), name)
        for name, why in kind.needed.items():
            if name not in entry.values:
                entry.refuse(f"this [[{kind.name}]] has no {name}: {why}")
        return entry

    def line_of_key(self, entry: Entry, key: str) -> int:
        """The line of a key of one of the tables: looked for between its header and the next one of its kind."""
        lines, name = self._read[entry.kind.name][1], entry.kind.name
        begin = entry.line
        end = lines[entry.place + 1] - 1 if entry.place + 1 < len(lines) else self._text.count("\n") + 1
        block = "\n".join(self._text.split("\n")[begin - 1 : end])

        def has(part: Document) -> bool:
            return key in part.get(name, [{}])[0]

        try:
            return begin - 1 + line_of(block, has) if has(tomllib.loads(block)) else begin
        except (tomllib.TOMLDecodeError, IndexError, TypeError):  # no headers: room = [{…}, {…}]
            return begin


def read_file(path: Path, text_from: Path | None = None) -> ConfigFile:
    """A file; `text_from` has a copy that was good. Raises SettingsError with file and line."""
    return ConfigFile(str(path), read_text(text_from or path, str(path)))


def read_text(path: Path, shown_as: str = "") -> str:
    """The text of a file. Raises SettingsError."""
    name = shown_as or str(path)
    try:
        if path.exists() and not path.is_file():
            raise SettingsError(f"GATEWAY_CONFIG={name!r} cannot be read: it is no file")
        with path.open("rb") as opened:
            data = opened.read(BYTES_MAX + 1)
    except OSError as error:
        raise SettingsError(f"GATEWAY_CONFIG={name!r} cannot be read: {error.strerror}") from error
    if len(data) > BYTES_MAX:
        raise SettingsError(f"GATEWAY_CONFIG={name!r} is larger than {BYTES_MAX // 1024**2} MiB")
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        refuse(name, data[: error.start].count(b"\n") + 1, "this is not UTF-8")


def refuse(path: str, line: int, sentence: str) -> NoReturn:
    """Raises SettingsError with file and line."""
    raise SettingsError(f"{path}, line {line}: {sentence}")


def _tables(path: str, text: str) -> dict[str, Tables]:
    """The tables by their kind, and the lines on which they begin, as the library's parser reads them."""
    read = _parsed(path, text)
    for name in read:
        if name not in TABLES:
            line = line_of(text, lambda part, name=name: name in part)  # type: ignore[misc]
            refuse(path, line, f"{_shown_table(read, name)} is not known{_meant(name, TABLES, '[[{}]]')}")
    return {
        name: (_list_of(path, text, read, name), table_lines(text, name, len(read[name]))) for name in read
    }


def _list_of(path: str, text: str, read: Document, name: str) -> list[Document]:
    tables = read[name]
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        line = line_of(text, lambda part: name in part)
        refuse(
            path, line, f"write [[{name}]], with two pairs of brackets: there is one for each {TABLES[name]}"
        )
    return tables


def _parsed(path: str, text: str) -> Document:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        sentence, _, place = str(error).rpartition(" (at ")
        found = re.match(r"line (\d+)", place)
        line = int(found[1]) if found else text.count("\n") + 1
        refuse(path, line, f"this is no TOML: {sentence or error}")
    except RecursionError:
        refuse(path, 1, "brackets are nested too deeply")


def _shown_table(read: Document, name: str) -> str:
    """A name of the top, as it stands there."""
    value = read[name]
    told = name if re.fullmatch(r"[A-Za-z0-9_-]{1,60}", name) else shown(name)
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return f"[[{told}]]"
    return f"[{told}]" if isinstance(value, dict) else f"{told!r}"


def _meant(name: str, known: Iterable[str], form: str) -> str:
    """What was probably meant, or all that is known."""
    names = list(known)
    near = difflib.get_close_matches(name.lower(), names, 1, 0.6)
    if near:
        return f"; did you mean {form.format(near[0])}?"
    return f"; known are {', '.join(form.format(each) for each in names)}"
