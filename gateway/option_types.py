"""What one option is: its variable, what it means, what it may be, and how its text is read.

Owns the kinds of values (a whole number, seconds, a choice …). Which options there are is in `option_groups.py`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any

from gateway.redis_url import ALLOWED, UrlError, read_redis_url, shown

SHOWN_MAX = 80
"""So many characters of a value that is not allowed are shown; the rest helps nobody."""


class SettingsError(ValueError):
    """An option has a value that is not allowed; the text names the option and what is."""


class NotAllowed(ValueError):
    """A text is not allowed; the error's own text says why, better than what is allowed does."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a value may be, for whoever sets it and for whoever reads it."""

    read: Callable[[str], Any]
    """Turns the text into the value; raises ValueError or KeyError for a text that is not allowed."""
    allowed: str
    """What is allowed, as the end of a sentence."""
    in_short: str
    """The same for a column of a table."""
    shown: Callable[[str], str] = str
    """As much of a text that is not allowed as may be shown: a URL's password must not reach a log."""
    is_secret: bool = False
    """Whether the value is shown nowhere, not even where a group of options is printed."""


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
            return self.kind.read(text.strip())
        except (ValueError, KeyError) as wrong:
            why = str(wrong) if isinstance(wrong, NotAllowed) else self.kind.allowed
            told = self.kind.shown(text)[:SHOWN_MAX]
            # No cause: its text may hold what must not be shown.
            raise SettingsError(f"{self.variable}={told!r} is not allowed: {why}") from None


def option(variable: str, default: Any, kind: Kind, meaning: str, default_in_words: str = "") -> Any:
    """A field of a group of options; `default_in_words` is for a default that differs from machine to machine."""
    described = Option(variable, meaning, kind, default_in_words or _as_text(default))
    return field(default=default, metadata={"option": described}, repr=not kind.is_secret)


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


def number(low: float, high: float, unit: str) -> Kind:
    """A number, with or without a fraction; `unit` is what it counts."""

    def read(text: str) -> float:
        found = float(text)
        if not low <= found <= high:
            raise ValueError(text)
        return found

    return Kind(read, f"a number from {low:g} to {high:.0f}", f"{low:g} to {high:.0f} {unit}")


def choice(*choices: str) -> Kind:
    """One of a few words."""

    def read(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError(text)
        return text.lower()

    return Kind(read, f"one of {', '.join(choices)}", ", ".join(f"`{each}`" for each in choices))


def switch() -> Kind:
    """On or off."""
    words = {
        "on": True,
        "true": True,
        "yes": True,
        "1": True,
        "off": False,
        "false": False,
        "no": False,
        "0": False,
    }
    return Kind(lambda text: words[text.lower()], "on or off", "`on`, `off`")


def redis_url() -> Kind:
    """A URL of Redis, of any topology; nothing of it but its scheme is ever shown."""

    def read(text: str) -> str:
        try:
            read_redis_url(text)
        except UrlError as wrong:
            raise NotAllowed(str(wrong)) from None
        return text

    return Kind(read, ALLOWED, "a URL", shown, is_secret=True)


def password() -> Kind:
    """Any text, which is never shown."""
    return Kind(str, "a password", "a password", lambda text: "…", is_secret=True)


def origins() -> Kind:
    """Origins as browsers send them, divided by commas, or `*` for all."""
    allowed = "origins such as https://chat.example.org, divided by commas, or * alone"
    return Kind(lambda text: _alone_or_all(_words(text), _origin), allowed, allowed)


def networks() -> Kind:
    """Addresses or networks, divided by commas, or `*` for all."""
    allowed = "addresses or networks such as 10.0.0.0/8, divided by commas, or * alone"
    return Kind(lambda text: _alone_or_all(_words(text), _network), allowed, allowed)


def web_url() -> Kind:
    """A URL of the web, of which nothing but its scheme is ever shown: the rest may hold what is secret."""

    def read(text: str) -> str:
        if not re.fullmatch(r"https?://[A-Za-z0-9._-]+(:[0-9]{1,5})?(/[!-~]*)?", text):
            raise ValueError(text)
        return text

    allowed = "a URL such as https://app.example.org/may-join"
    return Kind(read, allowed, "a URL", lambda text: text.partition("://")[0][:8] + "://…")


def networks_or_none() -> Kind:
    """Addresses or networks, divided by commas, or `-` for none."""
    allowed = "addresses or networks such as 10.0.0.0/8, divided by commas, or - for none"
    return Kind(lambda text: () if text == "-" else tuple(map(_network, _words(text))), allowed, allowed)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _alone_or_all(found: list[str], read: Callable[[str], str]) -> tuple[str, ...]:
    if "*" in found and len(found) > 1:
        raise NotAllowed("* is all of them: write it alone, or name each")
    return tuple(word if word == "*" else read(word) for word in found)


def _origin(text: str) -> str:
    """An origin in the form in which browsers send it: small letters, without the usual port. Raises NotAllowed."""
    if "*" in text:
        raise NotAllowed(f"{text!r} has a * inside: name each origin, or write * alone for all")
    scheme, found, place = text.lower().partition("://")
    if not found or not re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme):
        raise NotAllowed(f"{text!r} has no scheme: write https://{text} or http://{text}")
    host = re.split(r"[/?#]", place, maxsplit=1)[0]
    if host != place:
        raise NotAllowed(f"{text!r} is more than an origin: write {scheme}://{host}")
    if not re.fullmatch(r"([a-z0-9_.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", host):
        raise NotAllowed(
            f"{text!r} has no host as browsers send it (no user, no blank, xn-- for other letters)"
        )
    usual_port = {"http": ":80", "https": ":443"}.get(scheme, "")
    return f"{scheme}://{host.removesuffix(usual_port) if usual_port else host}"


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError as wrong:
        raise NotAllowed(f"{text!r} is no address and no network such as 10.0.0.0/8") from wrong
    return text


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
