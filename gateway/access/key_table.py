"""`[[key]]` of the configuration file, and `GATEWAY_API_KEYS`: the keys of backends. What a key is, is in
`api_keys.py`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gateway.access.api_keys import (
    ALL_ROOMS,
    SCOPES,
    ApiKey,
    ApiKeys,
    ConfiguredKey,
    KeysRefused,
)
from gateway.access.config_file import ConfigFile, Entry, TableKind
from gateway.access.config_values import any_text, shown, some_texts, some_words
from gateway.access.patterns import PatternError, parse
from gateway.api_key_options import HASH_ALLOWED, NAME_ALLOWED, read_hash, read_name
from gateway.option_types import NotAllowed, SettingsError

_OTHER_WORDS = {
    "write": "publish",
    "send": "publish",
    "history": "read",
    "moderation": "moderate",
    "all": "admin",
}
"""What people write for a scope."""

VARIABLE = "GATEWAY_API_KEYS"

KEY = TableKind(
    "key",
    {
        "name": any_text(NAME_ALLOWED),
        "hash_sha256": any_text(HASH_ALLOWED, is_shown=False),
        "scopes": some_words(SCOPES, _OTHER_WORDS),
        "rooms": some_texts('a list of patterns such as ["support:**"]'),
    },
    {
        "name": "it stands in the log with what the key does",
        "hash_sha256": "`gateway key new` prints a whole table",
        "scopes": "say what it is for, some of " + ", ".join(SCOPES),
    },
)
"""What a key may say, in the order of the documentation."""


def keys_in(file: ConfigFile | None, variable: Iterable[tuple[str, bytes]]) -> ApiKeys:
    """The keys of a file, if there is one, and those of the variable, which have all scopes in all rooms. Raises
    SettingsError."""
    found = [_key(each) for each in file.entries(KEY)] if file is not None else []
    try:
        return ApiKeys([*found, *_of_variable(variable)])
    except KeysRefused as error:
        raise SettingsError(str(error)) from None


def _of_variable(pairs: Iterable[tuple[str, bytes]]) -> Iterator[ConfiguredKey]:
    for name, digest in pairs:
        yield ConfiguredKey(ApiKey(name, frozenset(SCOPES)), digest, VARIABLE)


def _key(entry: Entry) -> ConfiguredKey:
    values, rooms = entry.values, tuple(entry.values.get("rooms", ALL_ROOMS))
    for pattern in rooms:
        try:
            parse(pattern)
        except PatternError as error:
            entry.refuse(f"rooms = {shown([pattern])} is not allowed: {error}", "rooms")
    key = ApiKey(_name(entry), frozenset(values["scopes"]), rooms)
    return ConfiguredKey(key, _digest(entry), entry.where)


def _name(entry: Entry) -> str:
    try:
        return read_name(entry.values["name"])
    except NotAllowed as error:
        entry.refuse(f"name = {shown(entry.values['name'])} is not allowed: {error}", "name")


def _digest(entry: Entry) -> bytes:
    try:
        return read_hash(entry.values["hash_sha256"])
    except NotAllowed as error:
        entry.refuse(f"hash_sha256 = … is not allowed: {error}", "hash_sha256")
