"""Patterns of room names, and which of many matches a room first.

`:` divides a name into segments. In a pattern `*` is one segment, whatever it holds, and `**` is the rest, which is one
segment or more. Everything else is literal. Example: `class:*` matches `class:7`, and neither `class` nor
`class:7:today`; `class:**` matches `class:7` and `class:7:today`.

A `*` inside a segment (`class-*`) would surprise somebody, whatever it meant, so it is no pattern. Names and patterns
are compared as NFC text. Values only.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

ONE, REST = "*", "**"

PATTERN_MAX = 1024
"""Longest pattern in characters: as long as a room's name can be made by `GATEWAY_ROOM_NAME_MAX`."""

REMEMBERED = 16_384
"""Patterns of tokens whose segments are remembered; each join looks at those of its own token only."""

Segments = tuple[str, ...]

_NEVER_IN_A_NAME = re.compile("[\x00-\x1f\x7f-\x9f{}\ud800-\udfff]")


class PatternError(ValueError):
    """A text is no pattern; the error's own text says why."""


@lru_cache(maxsize=REMEMBERED)
def parse(pattern: str) -> Segments:
    """The segments of a pattern. Raises PatternError."""
    if not pattern or len(pattern) > PATTERN_MAX:
        raise PatternError(f"a pattern has 1 to {PATTERN_MAX} characters")
    if _NEVER_IN_A_NAME.search(pattern):
        raise PatternError("no room's name has '{', '}' or control characters")
    segments = tuple(unicodedata.normalize("NFC", pattern).split(":"))
    for segment in segments if "*" in pattern else ():
        if "*" in segment and segment not in (ONE, REST):
            raise PatternError(
                f"{segment!r} has a * beside other characters: * is one whole segment, between colons"
            )
    if REST in segments[:-1]:
        raise PatternError("** is the rest of a name: nothing can follow it")
    return segments


def matches(pattern: str, room: str) -> bool:
    """Whether a pattern matches a room. A text that is no pattern matches nothing."""
    try:
        segments = parse(pattern)
    except PatternError:
        return False
    names = room.split(":")
    if segments[-1] == REST:
        if len(names) < len(segments):
            return False
        segments = segments[:-1]
    elif len(names) != len(segments):
        return False
    return all(segment in (name, ONE) for segment, name in zip(segments, names, strict=False))


def overlap(one: str, other: str) -> bool:
    """Whether there can be a room that both patterns match. Raises PatternError."""
    segments = parse(one), parse(other)
    for first, second in zip(*segments, strict=False):
        if REST in (first, second):
            return True
        if first != second and ONE not in (first, second):
            return False
    return len(segments[0]) == len(segments[1])


class _Node:
    """Where patterns with the same first segments go on: by a segment, by any one, or not at all. The numbers are those
    of the first pattern that ends here, and of the first that takes whatever follows."""

    __slots__ = ("ends", "following", "one", "rest")

    def __init__(self) -> None:
        self.following: dict[str, _Node] = {}
        self.one: _Node | None = None
        self.ends: int | None = None
        self.rest: int | None = None


class FirstMatch:
    """Many patterns in their order, compiled to dictionaries by segment: a look-up costs the segments of the name, and
    not the number of patterns."""

    def __init__(self) -> None:
        self._root = _Node()
        self._count = 0

    def add(self, segments: Segments) -> None:
        """The next pattern. One that stood before under the same text goes on to decide."""
        number, node = self._count, self._root
        self._count += 1
        for segment in segments:
            if segment == REST:
                node.rest = number if node.rest is None else node.rest
                return
            if segment == ONE:
                node.one = node.one or _Node()
                node = node.one
            else:
                node = node.following.setdefault(segment, _Node())
        node.ends = number if node.ends is None else node.ends

    def find(self, room: str) -> int | None:
        """The number of the first pattern that matches a room."""
        if self._root.rest == 0:
            return 0  # the first one matches all
        return self.covering(tuple(room.split(":")))

    def covering(self, segments: Segments) -> int | None:
        """The number of the first pattern that matches all that these segments do; `*` among them is any segment."""
        best, nodes = self._count, [self._root]
        for segment in segments:
            following: list[_Node] = []
            for node in nodes:
                if node.rest is not None and node.rest < best:
                    best = node.rest
                if segment == REST:
                    continue
                if segment != ONE and (found := node.following.get(segment)) is not None:
                    following.append(found)
                if node.one is not None:
                    following.append(node.one)
            nodes = following
        for node in nodes:
            if node.ends is not None and node.ends < best:
                best = node.ends
        return best if best < self._count else None
