"""How API keys are shown by `gateway check` and by `gateway key list`: neither the key nor its hash."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.access.api_keys import SCOPES, ApiKey, ApiKeys

KEYS_SHOWN = 30
"""So many keys `gateway check` shows; of more it says how many."""


def key_lines(keys: ApiKeys) -> Iterator[tuple[str, str]]:
    """Lines (heading, text) about all keys, for `gateway check`."""
    if keys.is_empty:
        yield "api keys", "none, so the server API is off"
        return
    count = len(keys.configured)
    yield "api keys", f"{count}: " + "; ".join(in_words(each.key) for each in keys.configured[:KEYS_SHOWN])
    if count > KEYS_SHOWN:
        yield "", f"and {count - KEYS_SHOWN} more: `gateway key list`"


def in_words(key: ApiKey) -> str:
    """A key's name, what it may do, and where."""
    scopes = ", ".join(scope for scope in SCOPES if scope in key.scopes)
    return f"{key.name} may {scopes} in " + ("every room" if key.is_for_all_rooms else ", ".join(key.rooms))
