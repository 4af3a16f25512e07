"""Tokens that were verified, so that a storm of reconnects verifies nothing twice.

Owns the memory: bounded, by a hash of the token, until the token ends. What it says holds only while the key that
verified the token still counts; revocation is checked elsewhere, each time.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from gateway.access.identity import Identity
from gateway.access.verifying_keys import VerifyingKey

REMEMBERED_MAX = 20_000
"""So many tokens; about 1 KiB each."""


class Remembered:
    """The verified tokens of one worker."""

    def __init__(self, most: int = REMEMBERED_MAX) -> None:
        self._most = most
        self._found: OrderedDict[bytes, tuple[Identity, VerifyingKey]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._found)

    @staticmethod
    def name(token: str) -> bytes:
        """By what a token is remembered; the token itself is not kept."""
        return hashlib.sha256(token.encode()).digest()

    def get(self, name: bytes, now_s: float) -> tuple[Identity, VerifyingKey] | None:
        """Who it was, and by which key; None if it is not remembered or has ended."""
        found = self._found.get(name)
        if found is None:
            return None
        ends_at_s = found[0].expires_at_s
        if ends_at_s is not None and ends_at_s <= now_s:
            del self._found[name]
            return None
        self._found.move_to_end(name)
        return found

    def keep(self, name: bytes, identity: Identity, key: VerifyingKey) -> None:
        """Remembers one more, and forgets the one that was not asked for the longest."""
        self._found[name] = identity, key
        if len(self._found) > self._most:
            self._found.popitem(last=False)

    def drop(self, name: bytes) -> None:
        """Forgets one."""
        self._found.pop(name, None)
