"""The configuration file (`GATEWAY_CONFIG`): lists of things, which environment variables cannot say well.

Owns what may stand in it, and the sentences for what may not: file, line, and what was probably meant. Single values
stay environment variables, and a secret never stands here. Reads and decides nothing else.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from gateway.access.patterns import PatternError, parse
from gateway.access.room_rules import COUNT, HOOK, JOIN_WORDS, LIST, OFF, SEND_WORDS, RoomRule, RoomRules
from gateway.access.toml_lines import Document, line_of, plain_tables, table_lines
from gateway.option_types import SettingsError

BYTES_MAX = 16 * 1024 * 1024
"""Largest file: some 300,000 rules. A larger one is none of ours."""

SHOWN_MAX = 60
"""So many characters of a value that is not allowed are shown."""

TABLES = ("room",)
"""The lists that may stand in the file."""


_OTHER_WORDS = {
    "anybody": "anyone", "everybody": "anyone", "everyone": "anyone", "all": "anyone", "public": "anyone",
    "none": "nobody", "noone": "nobody", "no one": "nobody", "user": "users", "token": "granted", "grant": "granted",
    "member": "members", "names": "list",
}  # fmt: skip
"""What people write for a word; some are nearer to another one in letters."""


class _Key(NamedTuple):
    """One key of a rule: whether a value is allowed, and what is."""

    is_allowed: Callable[[Any], bool]
    allowed: str


def _word(*words: str) -> _Key:
    return _Key(lambda value: isinstance(value, str) and value in words, "one of " + ", ".join(words))


def _whole(low: int, high: int) -> _Key:
    return _Key(
        lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high,
        f"a whole number from {low} to {high:,}",
    )


def _number(low: float, high: float) -> _Key:
    return _Key(
        lambda value: isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high,
        f"a number from {low:g} to {high:,g}",
    )


def _text(most: int) -> _Key:
    return _Key(lambda value: isinstance(value, str) and len(value) <= most, f"a text of up to {most}")


_SWITCH = _Key(lambda value: isinstance(value, bool), "true or false")

_KEYS: dict[str, _Key] = {
    "match": _Key(lambda value: isinstance(value, str), "a pattern such as interview:*"),
    "join": _word(*JOIN_WORDS),
    "send": _word(*SEND_WORDS),
    "members": _word(LIST, COUNT, OFF),
    "notices": _SWITCH,
    "history": _whole(0, 100),
    "history_days": _number(1 / 24, 3650),
    "slow_s": _number(0, 86_400),
    "members_max": _whole(0, 1_000_000),
    "signals": _SWITCH,
    "moderation": _text(64),
}
"""What a rule may say, in the order of the documentation."""


def read_rules(path: Path, text_from: Path | None = None) -> RoomRules:
    """The rules of a file; `text_from` has a copy that was good. Raises SettingsError with file and line."""
    return rules_of(str(path), read_text(text_from or path, str(path)))


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
        _refuse(name, data[: error.start].count(b"\n") + 1, "this is not UTF-8")


def rules_of(path: str, text: str) -> RoomRules:
    """The rules of a file's text. Raises SettingsError."""
    tables, lines = plain_tables(text, "room") or _tables(path, text)
    if not tables:
        _refuse(path, 1, "there is no [[room]], so nobody could join any room")
    return RoomRules([_rule(path, text, table, lines, place) for place, table in enumerate(tables)], path)


def _tables(path: str, text: str) -> tuple[list[Document], list[int]]:
    """The tables of the rules, and the lines on which they begin."""
    read = _parsed(path, text)
    for name in read:
        if name not in TABLES:
            line = line_of(text, lambda part, name=name: name in part)  # type: ignore[misc]
            _refuse(path, line, f"{_shown_table(read, name)} is not known{_meant(name, TABLES, '[[{}]]')}")
    tables = read.get("room", [])
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        line = line_of(text, lambda part: "room" in part)
        _refuse(path, line, "write [[room]], with two pairs of brackets: there is one for each rule")
    return tables, table_lines(text, "room", len(tables))


def _parsed(path: str, text: str) -> Document:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        sentence, _, place = str(error).rpartition(" (at ")
        found = re.match(r"line (\d+)", place)
        line = int(found[1]) if found else text.count("\n") + 1
        _refuse(path, line, f"this is no TOML: {sentence or error}")
    except RecursionError:
        _refuse(path, 1, "brackets are nested too deeply")


def _rule(path: str, text: str, table: Document, lines: Sequence[int], place: int) -> RoomRule:
    """One rule, checked. The line of what is wrong with it is looked for only if something is."""
    for name, value in table.items():
        key = _KEYS.get(name)
        if key is None:
            sentence = f"{name!r} is no key of [[room]]{_meant(name, _KEYS, '{!r}')}"
            _refuse(path, _line_of_key(text, lines, place, name), sentence)
        if not key.is_allowed(value):
            sentence = f"{name} = {_shown(value)} is not allowed: {key.allowed}{_nearest_word(name, value)}"
            _refuse(path, _line_of_key(text, lines, place, name), sentence)
    if "match" not in table:
        _refuse(path, lines[place], "this [[room]] has no match: say for which rooms it is")
    try:
        parse(table["match"])
    except PatternError as error:
        sentence = f"match = {_shown(table['match'])} is not allowed: {error}"
        _refuse(path, _line_of_key(text, lines, place, "match"), sentence)
    rule = RoomRule(**table, line=lines[place])
    if table.get("notices") and rule.members != LIST:
        sentence = f"notices = true needs members = {LIST!r}: a notice names who came"
        _refuse(path, _line_of_key(text, lines, place, "notices"), sentence)
    return rule


def _line_of_key(text: str, lines: Sequence[int], place: int, name: str) -> int:
    """The line of a key of one of the rules: looked for between its header and the next one."""
    begin = lines[place]
    end = lines[place + 1] - 1 if place + 1 < len(lines) else text.count("\n") + 1
    block = "\n".join(text.split("\n")[begin - 1 : end])

    def has(part: Document) -> bool:
        return name in part.get("room", [{}])[0]

    try:
        return begin - 1 + line_of(block, has) if has(tomllib.loads(block)) else begin
    except (tomllib.TOMLDecodeError, IndexError):  # rules without headers: room = [{…}, {…}]
        return begin


def _shown_table(read: Document, name: str) -> str:
    """A name of the top, as it stands there."""
    value = read[name]
    shown = name if re.fullmatch(r"[A-Za-z0-9_-]{1,60}", name) else _shown(name)
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return f"[[{shown}]]"
    return f"[{shown}]" if isinstance(value, dict) else f"{shown!r}"


def _meant(name: str, known: Iterable[str], form: str) -> str:
    """What was probably meant, or all that is known."""
    names = list(known)
    near = difflib.get_close_matches(name.lower(), names, 1, 0.6)
    if near:
        return f"; did you mean {form.format(near[0])}?"
    listed = ", ".join(form.format(each) for each in names)
    return f"; {listed} is all that can stand here" if len(names) == 1 else f"; known are {listed}"


def _nearest_word(name: str, value: object) -> str:
    words = {"join": JOIN_WORDS, "send": SEND_WORDS, "members": (LIST, COUNT, OFF)}.get(name)
    if words is None or not isinstance(value, str):
        return ""
    near = difflib.get_close_matches(value.lower(), words, 1, 0.6)
    meant = _OTHER_WORDS.get(value.lower()) or (near[0] if near else None)
    return f"; did you mean {meant!r}?" if meant in words else ""


def _shown(value: object) -> str:
    text = repr(value) if not isinstance(value, bool) else str(value).lower()
    return text if len(text) <= SHOWN_MAX else text[:SHOWN_MAX] + "…"


def _refuse(path: str, line: int, sentence: str) -> NoReturn:
    raise SettingsError(f"{path}, line {line}: {sentence}")


def refuse_hook(rules: RoomRules) -> None:
    """Raises SettingsError for the first rule that asks a hook, where no URL is given."""
    for rule in rules.rules:
        if rule.asks_hook:
            _refuse(rules.path, rule.line, f"{HOOK!r} needs GATEWAY_JOIN_HOOK, the URL that is asked")
