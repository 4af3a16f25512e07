"""HTML that is made of values: text is text, whatever it holds.

Owns the only two ways to a piece of HTML: an element with its attributes and children, or `raw` for what is written in
this package. A child that is no piece is escaped. So no name and no message of anybody becomes markup.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

VOID = frozenset(("input", "meta", "link", "br"))


class Html(str):
    """A piece of HTML, ready."""

    __slots__ = ()


Child = Html | str | int | float | None | Iterable["Child"]


def raw(text: str) -> Html:
    """HTML that was written by hand."""
    return Html(text)


def text(value: object) -> Html:
    """Text, escaped; control characters are shown as dots, so that a name cannot turn the line around."""
    return Html(escape(_printable(value)))


def _printable(value: object) -> str:
    return "".join(each if each.isprintable() or each in "\n\t" else "·" for each in str(value))


def join(*children: Child) -> Html:
    """Pieces in a row."""
    return Html("".join(_pieces(children)))


def _pieces(children: Iterable[Child]) -> Iterable[str]:
    for child in children:
        if isinstance(child, Html):
            yield child
        elif child is None:
            continue
        elif isinstance(child, str | int | float):
            yield text(child)
        else:
            yield from _pieces(child)


def el(tag: str, *children: Child, **attributes: str | int | bool | None) -> Html:
    """An element. `class_` and `for_` are `class` and `for`; `_` in a name is `-`; None and False leave an attribute
    out, True is one without a value."""
    head = "".join(_attributes(attributes))
    if tag in VOID:
        return Html(f"<{tag}{head}>")
    return Html(f"<{tag}{head}>{join(*children)}</{tag}>")


def _attributes(attributes: dict[str, str | int | bool | None]) -> Iterable[str]:
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        written = name.rstrip("_").replace("_", "-")
        yield f" {written}" if value is True else f' {written}="{escape(_printable(value))}"'
