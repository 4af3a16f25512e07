"""Keys that verify tokens, as values, and where they come from, as a seam.

A key has one algorithm. What a token's header says only chooses among keys, never how one is used: so an RSA key never
becomes an HMAC secret, and `none` is nobody's algorithm.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.errors import Trouble

KID_MAX = 128
"""Longest name of a key, in characters."""
TRIED_MAX = 4
"""So many keys are tried for a token that names none: each costs a signature check, about 0.1 ms."""


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """One key.

    kid          its name, as tokens say it in their header; empty for a key without one, which any token may mean
    algorithm    the one that it is for, such as RS256
    fingerprint  SHA-256 of the key, by which two reads of the same key are equal
    material     what PyJWT verifies by; never shown
    """

    kid: str
    algorithm: str
    fingerprint: bytes = field(repr=False)
    material: Any = field(repr=False, compare=False)


class KeySet:
    """Some keys, by name."""

    def __init__(self, keys: Iterable[VerifyingKey] = ()) -> None:
        self.keys = tuple(keys)
        self._all = frozenset(self.keys)
        self._by_kid: dict[str, list[VerifyingKey]] = defaultdict(list)
        for key in self.keys:
            self._by_kid[key.kid].append(key)

    def __len__(self) -> int:
        return len(self.keys)

    def holds(self, key: VerifyingKey) -> bool:
        """Whether this very key is one of them."""
        return key in self._all

    def knows(self, kid: str | None) -> bool:
        """Whether a token that names this key, or none, can be meant for one of them."""
        return bool(self.keys) if kid is None else kid in self._by_kid or "" in self._by_kid

    def matching(self, kid: str | None, algorithm: str) -> Sequence[VerifyingKey]:
        """The keys to try, a few at most: of that name, else those without a name; with none named, all."""
        named = self.keys if kid is None else self._by_kid.get(kid) or self._by_kid.get("") or ()
        return [key for key in named if key.algorithm == algorithm][:TRIED_MAX]


class IdentityPart(Protocol):
    """What deciding who somebody is depends on, for as long as a worker lives."""

    @property
    def trouble(self) -> Trouble | None:
        """Why nobody can be let in now, or None: with trouble the worker is not ready."""

    async def start(self) -> None:
        """Is ready when it returns, if it can be soon."""

    async def run(self) -> None:
        """Keeps it so; ended by cancellation."""


class KeySource(IdentityPart, Protocol):
    """Where the keys come from: a file, or an identity provider."""

    async def keys_for(self, kid: str | None) -> KeySet:
        """The keys as they are now, once it is sure that the one with this name is or is not among them. Raises
        Undecided when that cannot be said now."""

    def holds(self, key: VerifyingKey) -> bool:
        """Whether a key still counts."""
