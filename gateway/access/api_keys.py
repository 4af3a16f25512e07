"""The keys by which the application's backend calls the server API: what each may do, and in which rooms.

Owns a key's form, its hash, and the look-up. The gateway has hashes only: a key is shown once, where it is made. What
is presented is hashed and compared with all keys in constant time, so that the time of a refusal says nothing. Values
only; where keys are configured is `key_table.py`.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from hmac import compare_digest

from gateway.access.patterns import REST, matches

PUBLISH, READ, MODERATE, ADMIN = "publish", "read", "moderate", "admin"
SCOPES = (PUBLISH, READ, MODERATE, ADMIN)
"""What a key may be for. None of them holds another one: `admin` alone does not publish."""

ALL_ROOMS = (REST,)
"""The patterns of a key that is for every room."""

KEYS_MAX = 1000
"""Most keys of one gateway: each request is compared with all of them, and a thousand take some 0.1 ms."""

PREFIX = "gwk_"
"""What every key begins with, so that those who search code for secrets find it."""
KEY_BYTES = 32
"""Random bytes of a key: nobody finds it by trying, so its hash needs neither salt nor many rounds."""


class KeysRefused(ValueError):
    """Keys that cannot stand beside each other; the error's own text says why, and holds no secret."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key of a backend: its name, the scopes that it has, and the patterns of the rooms that it is for."""

    name: str
    scopes: frozenset[str]
    rooms: tuple[str, ...] = ALL_ROOMS

    def allows(self, scope: str, room: str | None) -> bool:
        """Whether the key has this scope in a room, whose name is NFC text. None is what is about no room, or about
        all of them, such as to disconnect a user: only a key for every room allows that."""
        if scope not in self.scopes:
            return False
        if room is None:
            return self.is_for_all_rooms
        return any(matches(pattern, room) for pattern in self.rooms)

    @property
    def is_for_all_rooms(self) -> bool:
        """Whether there is no room that the key is not for."""
        return REST in self.rooms


@dataclass(frozen=True, slots=True)
class ConfiguredKey:
    """A key as it is configured: with its hash, and where it stands, for those who are told of a fault."""

    key: ApiKey
    digest: bytes = field(repr=False)
    place: str


class ApiKeys:
    """All keys of a gateway."""

    def __init__(self, configured: Iterable[ConfiguredKey] = ()) -> None:
        """Raises KeysRefused for two keys of one name, one key under two names, or too many."""
        self._configured = tuple(configured)
        if len(self._configured) > KEYS_MAX:
            raise KeysRefused(f"there are more than {KEYS_MAX} API keys")
        names: dict[str, ConfiguredKey] = {}
        digests: dict[bytes, ConfiguredKey] = {}
        for each in self._configured:
            _refuse_second(names.setdefault(each.key.name, each), each, "the name")
            _refuse_second(digests.setdefault(each.digest, each), each, "the hash")

    @property
    def is_empty(self) -> bool:
        """Whether there is none: the server API is off then."""
        return not self._configured

    @property
    def configured(self) -> tuple[ConfiguredKey, ...]:
        """All of them, in their order."""
        return self._configured

    def find(self, presented: str) -> ApiKey | None:
        """The key that was presented; None for anything else. Takes as long whichever it is, and whether it is one."""
        digest, found = digest_of(presented), None
        for each in self._configured:
            if compare_digest(each.digest, digest):
                found = each.key
        return found


def _refuse_second(first: ConfiguredKey, second: ConfiguredKey, what: str) -> None:
    if first is not second:
        name = second.key.name
        raise KeysRefused(f"{what} of the API key {name!r} ({second.place}) stands already at {first.place}")


def new_key() -> str:
    """A new key: `gwk_` and 32 random bytes as base64url, 47 characters."""
    return PREFIX + base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).rstrip(b"=").decode()


def digest_of(presented: str) -> bytes:
    """The SHA-256 of a key, or of any text that was presented as one."""
    return hashlib.sha256(presented.encode("utf-8", "surrogatepass")).digest()
