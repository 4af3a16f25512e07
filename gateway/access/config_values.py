"""What a key of a table in the configuration file may be: a word, a number, a text, a list; and the sentence for what
it may not. Values only; which keys there are is in the module of each table."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

SHOWN_MAX = 60
"""So many characters of a value that is not allowed are shown."""


class Value(NamedTuple):
    """What one key may be."""

    is_allowed: Callable[[Any], bool]
    allowed: str
    """What is allowed, as the end of a sentence."""
    words: tuple[str, ...] = ()
    """The words that are allowed, if these are few: one that is nearly one of them is answered with it."""
    other_words: Mapping[str, str] = {}
    """What people write for one of them; some are nearer to another one in letters."""
    is_shown: bool = True
    """Whether a value that is not allowed is repeated: it may be a secret, by mistake."""

    def sentence(self, name: str, given: object) -> str:
        """What is wrong with a value that is not allowed."""
        told = shown(given) if self.is_shown else "…"
        return f"{name} = {told} is not allowed: {self.allowed}{self._meant(given)}"

    def _meant(self, given: object) -> str:
        found = given if isinstance(given, list) else [given]
        for each in found:
            if not self.words or not isinstance(each, str) or each in self.words:
                continue
            near = difflib.get_close_matches(each.lower(), self.words, 1, 0.6)
            meant = self.other_words.get(each.lower()) or (near[0] if near else None)
            return f"; did you mean {meant!r}?" if meant in self.words else ""
        return ""


def word(words: tuple[str, ...], other_words: Mapping[str, str]) -> Value:
    """One of a few words."""
    return Value(
        lambda given: isinstance(given, str) and given in words,
        "one of " + ", ".join(words),
        words,
        other_words,
    )


def some_words(words: tuple[str, ...], other_words: Mapping[str, str]) -> Value:
    """A list of some of a few words, each once."""
    return Value(
        lambda given: _is_list(given, lambda each: each in words) and len(set(given)) == len(given),
        "a list of some of " + ", ".join(words),
        words,
        other_words,
    )


def whole(low: int, high: int) -> Value:
    """A whole number."""
    return Value(
        lambda given: isinstance(given, int) and not isinstance(given, bool) and low <= given <= high,
        f"a whole number from {low} to {high:,}",
    )


def number(low: float, high: float) -> Value:
    """A number, with or without a fraction."""
    return Value(
        lambda given: isinstance(given, int | float) and not isinstance(given, bool) and low <= given <= high,
        f"a number from {low:g} to {high:,g}",
    )


def text(most: int) -> Value:
    """A text of up to so many characters."""
    return Value(lambda given: isinstance(given, str) and len(given) <= most, f"a text of up to {most}")


def any_text(allowed: str, is_shown: bool = True) -> Value:
    """A text that the table's own module reads: it says what is wrong with it."""
    return Value(lambda given: isinstance(given, str), allowed, is_shown=is_shown)


def some_texts(allowed: str) -> Value:
    """A list of texts, at least one, that the table's own module reads."""
    return Value(lambda given: _is_list(given, lambda each: isinstance(each, str)), allowed)


def switch() -> Value:
    """On or off."""
    return Value(lambda given: isinstance(given, bool), "true or false")


def _is_list(given: object, is_one: Callable[[Any], bool]) -> bool:
    return (
        isinstance(given, list)
        and bool(given)
        and all(isinstance(each, str) and is_one(each) for each in given)
    )


def shown(value: object) -> str:
    """A value of the file in a sentence, cut where it is long."""
    told = repr(value) if not isinstance(value, bool) else str(value).lower()
    return told if len(told) <= SHOWN_MAX else told[:SHOWN_MAX] + "…"
