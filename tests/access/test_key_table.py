"""`[[key]]` and `GATEWAY_API_KEYS`: what is read of them, and what is said of what cannot be meant."""

from __future__ import annotations

import re

import pytest

from gateway.access.api_keys import SCOPES, ApiKey, digest_of, new_key
from gateway.access.config_file import ConfigFile
from gateway.access.key_table import keys_in
from gateway.access.room_table import rules_in
from gateway.option_types import SettingsError
from gateway.settings import Settings

KEY = new_key()
DIGITS = digest_of(KEY).hex()
OTHER = digest_of("other").hex()
WHOLE = f"""\
# who calls
[[key]]
name = "backend"
hash_sha256 = "{DIGITS}"
scopes = ["publish", "read"]   # no more
rooms = ["support:**", "lobby"]

[[room]]
match = "**"

[[key]]
name = "other"
hash_sha256 = "{OTHER.upper()}"
scopes = [
  "moderate",
  "admin",
]
"""
PLAIN = WHOLE.replace("[\n  ", "[").replace(",\n  ", ", ").replace(",\n]", "]")


@pytest.mark.parametrize("text", [WHOLE, PLAIN], ids=["over several lines", "plain"])
def test_keys_are_read_with_their_scopes_and_rooms_beside_the_rules(text: str) -> None:
    file = ConfigFile("gw.toml", text)
    first, second = keys_in(file, ()).configured
    assert first.key == ApiKey("backend", frozenset({"publish", "read"}), ("support:**", "lobby"))
    assert second.key == ApiKey("other", frozenset({"moderate", "admin"}), ("**",))
    assert (first.place, second.place) == ("gw.toml, line 2", "gw.toml, line 11")
    assert keys_in(file, ()).find(KEY) == first.key
    assert keys_in(file, ()).find("other") == second.key
    rules = rules_in(file)
    assert rules is not None
    assert [rule.line for rule in rules.rules] == [8]


def test_a_file_with_keys_alone_leaves_the_rule_that_stands_without_a_file() -> None:
    assert rules_in(ConfigFile("gw.toml", WHOLE.replace('[[room]]\nmatch = "**"\n', ""))) is None


REFUSED = {
    WHOLE.replace("[[key]]", "[[keys]]"): "line 2: [[keys]] is not known; did you mean [[key]]?",
    WHOLE.replace("[[key]]", "[key]", 1).partition("[[room]]")[0]: "line 2: write [[key]], with two pairs of",
    WHOLE.replace("scopes =", "scope =", 1): "line 5: 'scope' is no key of [[key]]; did you mean 'scopes'?",
    WHOLE.replace('"publish"', '"publsh"'): "line 5: scopes = ['publsh', 'read'] is not allowed: a list of some of "
    "publish, read, moderate, admin; did you mean 'publish'?",
    WHOLE.replace('"publish"', '"write"'): "; did you mean 'publish'?",
    WHOLE.replace('["publish", "read"]', '"publish"'): "line 5: scopes = 'publish' is not allowed: a list of",
    WHOLE.replace('["publish", "read"]', "[]"): "line 5: scopes = [] is not allowed: a list of",
    WHOLE.replace('"publish", ', '"read", '): "line 5: scopes = ['read', 'read'] is not allowed",
    WHOLE.replace('"publish", ', "1, "): "line 5: scopes = [1, 'read'] is not allowed",
    WHOLE.replace('"support:**"', '"support**"'): "line 6: rooms = ['support**'] is not allowed: 'support**' has a *",
    WHOLE.replace('["support:**", "lobby"]', "[]"): "line 6: rooms = [] is not allowed: a list of patterns",
    WHOLE.replace('"backend"', '"back end"'): "line 3: name = 'back end' is not allowed: a name has 1 to 64",
    WHOLE.replace('name = "backend"\n', ""): "line 2: this [[key]] has no name: it stands in the log",
    WHOLE.replace(f'hash_sha256 = "{DIGITS}"\n', ""): "line 2: this [[key]] has no hash_sha256",
    WHOLE.replace('scopes = ["publish", "read"]', ""): "line 2: this [[key]] has no scopes: say what it is for",
    WHOLE.replace(DIGITS, KEY): "line 4: hash_sha256 = … is not allowed: a hash is the SHA-256",
    WHOLE.replace(f'"{DIGITS}"', f'["{KEY}"]'): "line 4: hash_sha256 = … is not allowed: a hash is the SHA-256",
    WHOLE.replace("hash_sha256", "key", 1).replace(DIGITS, KEY): "line 4: 'key' is no key of [[key]]",
    WHOLE.replace('"other"', '"backend"'): "the name of the API key 'backend' (gw.toml, line 11) stands already at "
    "gw.toml, line 2",
    WHOLE.replace(OTHER.upper(), DIGITS.upper()): "the hash of the API key 'other' (gw.toml, line 11) stands already",
}  # fmt: skip


@pytest.mark.parametrize("text", REFUSED, ids=[said[:40] for said in REFUSED.values()])
def test_what_cannot_be_meant_is_refused_with_its_line_and_without_the_key(text: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(REFUSED[text])) as refused:
        keys_in(ConfigFile("gw.toml", text), ())
    assert KEY not in str(refused.value)


def test_the_variable_gives_keys_that_may_do_everything() -> None:
    settings = Settings.from_environment({"GATEWAY_API_KEYS": f"backend:{DIGITS}, jobs:{OTHER}"})
    first, second = keys_in(None, settings.api_keys.hashes).configured
    assert first.key == ApiKey("backend", frozenset(SCOPES), ("**",))
    assert (second.key.name, second.place) == ("jobs", "GATEWAY_API_KEYS")
    assert DIGITS not in repr(settings)


@pytest.mark.parametrize(
    "text", [KEY, f"backend:{KEY}", "backend:", f"a b:{DIGITS}", f"a:{DIGITS},", ","], ids=range(6)
)
def test_a_variable_that_cannot_be_meant_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^GATEWAY_API_KEYS='…' is not allowed: ") as refused:
        Settings.from_environment({"GATEWAY_API_KEYS": text})
    assert KEY not in str(refused.value)


def test_a_name_in_the_file_and_in_the_variable_stops_the_start() -> None:
    with pytest.raises(
        SettingsError, match=r"'other' \(GATEWAY_API_KEYS\) stands already at gw\.toml, line 11"
    ):
        keys_in(ConfigFile("gw.toml", WHOLE), [("other", digest_of("third"))])
