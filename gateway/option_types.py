"""What one option is: its variable, what it means, what it may be, and how its text is read.

Owns the kinds of values (a whole number, seconds, a choice …). Which options there are is in `settings.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any


class SettingsError(ValueError):
    """An option has a value that is not allowed; the text names the option and what is."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a value may be, for whoever sets it and for whoever reads it."""

    read: Callable[[str], Any]
    """Turns the text into the value; raises ValueError or KeyError for a text that is not allowed."""
    allowed: str
    """What is allowed, as the end of a sentence."""
    in_short: str
    """The same for a column of a table."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option, as it stands in the metadata of its field."""

    variable: str
    meaning: str
    """One or two sentences: what it does, and when to change it."""
    kind: Kind
    default: str
    """The default, as one would write it into the variable."""

    def read(self, text: str) -> Any:
        """The value of a text; raises SettingsError with the variable, the text, and what is allowed."""
        try:
            return self.kind.read(text)
        except (ValueError, KeyError) as wrong:
            shown = re.sub("//.*@", "//…@", text)  # a URL's user and password must not reach a log
            raise SettingsError(f"{self.variable}={shown!r} is not allowed: {self.kind.allowed}") from wrong


def option(variable: str, default: Any, kind: Kind, meaning: str, default_in_words: str = "") -> Any:
    """A field of a group of options; `default_in_words` is for a default that differs from machine to machine."""
    described = Option(variable, meaning, kind, default_in_words or _as_text(default))
    return field(default=default, metadata={"option": described})


def options_of(group: Any) -> Iterator[tuple[str, Option]]:
    """The options of a group, each with the name of its field."""
    for each in fields(group):
        if (found := each.metadata.get("option")) is not None:
            yield each.name, found


def _as_text(value: object) -> str:
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def whole(low: int, high: int, unit: str = "") -> Kind:
    """A whole number; `unit` is what it counts."""

    def read(text: str) -> int:
        number = int(text)
        if not low <= number <= high:
            raise ValueError(text)
        return number

    return Kind(read, f"a whole number from {low} to {high}", f"{low} to {high} {unit}".rstrip())


def seconds(low: float, high: float) -> Kind:
    """Seconds, with or without a fraction."""

    def read(text: str) -> float:
        number = float(text)
        if not low <= number <= high:
            raise ValueError(text)
        return number

    return Kind(read, f"seconds from {low:g} to {high:g}", f"{low:g} to {high:g} s")


def choice(*choices: str) -> Kind:
    """One of a few words."""

    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(text)
        return text

    return Kind(read, f"one of {', '.join(choices)}", ", ".join(f"`{each}`" for each in choices))


def switch() -> Kind:
    """On or off."""
    words = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}
    return Kind(lambda text: words[text.lower()], "on or off", "`on`, `off`")


def words(allowed: str) -> Kind:
    """Words divided by commas."""
    return Kind(
        lambda text: tuple(word.strip() for word in text.split(",") if word.strip()), allowed, allowed
    )


def text_of(allowed: str) -> Kind:
    """Any text."""
    return Kind(str, allowed, allowed)


def short_text(most: int) -> Kind:
    """A text of at most so many characters, and not an empty one."""

    def read(text: str) -> str:
        if not 1 <= len(text) <= most:
            raise ValueError(text)
        return text

    return Kind(read, f"1 to {most} characters", f"1 to {most} characters")


def name_of(most: int) -> Kind:
    """A name of ASCII letters and digits, or none."""

    def read(text: str) -> str:
        if not (text.isascii() and text.isalnum() and len(text) <= most):
            raise ValueError(text)
        return text

    return Kind(read, f"1 to {most} letters and digits", f"1 to {most} letters and digits")


def url_of(*schemes: str, allowed: str, in_short: str) -> Kind:
    """A URL with one of these beginnings."""

    def read(text: str) -> str:
        if not text.startswith(schemes):
            raise ValueError(text)
        return text

    return Kind(read, allowed, in_short)


def path_of(default_in_short: str) -> Kind:
    """A path of a URL. It is read with one slash before it and none behind it; `/` alone is read as no path."""

    def read(text: str) -> str:
        parts = text.strip("/").split("/") if text.strip("/") else []
        if not all(re.fullmatch(r"[A-Za-z0-9._~-]+", part) and set(part) != {"."} for part in parts):
            raise ValueError(text)
        return "".join(f"/{part}" for part in parts)

    return Kind(read, "a path such as " + default_in_short, "a path")


def name_prefix() -> Kind:
    """What names in Redis begin with: nothing that a pattern or a hash tag could be made of."""

    def read(text: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9._:/-]{1,64}", text):
            raise ValueError(text)
        return text

    allowed = "1 to 64 of the characters A-Z a-z 0-9 . _ : / -"
    return Kind(read, allowed, "1 to 64 of `A-Z a-z 0-9 . _ : / -`")
