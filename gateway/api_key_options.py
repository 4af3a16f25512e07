"""The options of the keys by which backends call the server API.

A group as those in `option_groups.py`, with a file of its own; and how a key's name and hash are read, which stand in
the variable as in the configuration file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.option_types import Kind, NotAllowed, option

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HASH = re.compile(r"[0-9A-Fa-f]{64}")
NAME_ALLOWED = "a name has 1 to 64 of A-Z a-z 0-9 . _ -, and begins with a letter or digit"
HASH_ALLOWED = "a hash is the SHA-256 of the key, 64 hexadecimal digits: `gateway key new` prints it"


def read_name(text: str) -> str:
    """The name of a key: it stands in logs, and in the names of things in Redis. Raises NotAllowed."""
    if not _NAME.fullmatch(text):
        raise NotAllowed(NAME_ALLOWED)
    return text


def read_hash(text: str) -> bytes:
    """The hash of a key from its hexadecimal digits. Raises NotAllowed, which does not repeat the text: it may be the
    key itself, by mistake."""
    if not _HASH.fullmatch(text):
        raise NotAllowed(HASH_ALLOWED)
    return bytes.fromhex(text)


def key_hashes() -> Kind:
    """Names with hashes of keys, divided by commas. Not shown: somebody may write the keys themselves."""
    allowed = "name:sha256 of each key, divided by commas"

    def read(text: str) -> tuple[tuple[str, bytes], ...]:
        found = []
        for pair in text.split(","):
            name, colon, digits = pair.strip().partition(":")
            if not colon:
                raise ValueError(text)
            found.append((read_name(name), read_hash(digits)))
        return tuple(found)

    return Kind(read, allowed, allowed, lambda text: "…", is_secret=True)


# fmt: off
@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyOptions:
    """Who may call the server API; without a key it is off."""

    hashes: tuple[tuple[str, bytes], ...] = option("GATEWAY_API_KEYS", (), key_hashes(),
        "Keys of backends that may do everything in every room, as `gateway key new` prints them. For fewer scopes or "
        "rooms write `[[key]]` into `GATEWAY_CONFIG`: [server-api.md](server-api.md).")
# fmt: on
