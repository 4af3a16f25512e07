"""The options of identity: what is refused, and which cannot stand together."""

from __future__ import annotations

import re

import pytest

from gateway.option_types import SettingsError
from gateway.settings import Settings

REDIS = {"REDIS_URL": "redis://127.0.0.1/0"}
CHECKED = {"GATEWAY_TOKEN_ISSUERS": "https://idp", "GATEWAY_TOKEN_AUDIENCES": "chat"}


def test_without_configuration_nobody_is_asked_who_they_are() -> None:
    identity = Settings.from_environment({}).identity
    assert (identity.auth, identity.token_from, identity.name_claim) == ("off", ("auth",), "name")
    assert (identity.age_max_s, identity.leeway_s, identity.grace_s) == (86_400, 10, 25)
    assert (identity.jwks_refresh_s, identity.jwks_cooldown_s, identity.jwks_stale_s) == (600, 30, 86_400)


@pytest.mark.parametrize(
    ("variable", "text", "why"),
    [
        ("GATEWAY_AUTH", "on", "one of off, optional, required"),
        ("GATEWAY_JWKS_URL", "http://idp.example.org/jwks", "https, so that nobody"),
        ("GATEWAY_JWKS_URL", "http://127.0.0.1.evil.org/jwks", "https, so that nobody"),
        ("GATEWAY_JWKS_URL", "https://{tenant}.example.org/jwks", "a fixed address"),
        ("GATEWAY_JWKS_URL", "https://idp.example.org/<iss>", "a fixed address"),
        ("GATEWAY_JWKS_URL", "file:///etc/passwd", "an address such as https"),
        ("GATEWAY_JWKS_URL", "https://user:word@idp.example.org/jwks", "an address such as https"),
        ("GATEWAY_JWKS_URL", "idp.example.org/jwks", "an address such as https"),
        ("GATEWAY_CONNECT_HOOK", "ftp://app/who", "an address such as https"),
        ("GATEWAY_CONNECT_HOOK", "http://{host}/who", "an address such as https"),
        ("GATEWAY_CONNECT_HOOK", "http://user:word@app/who", "an address such as https"),
        ("GATEWAY_TOKEN_FROM", "body", "'body' is none of auth, header"),
        ("GATEWAY_TOKEN_FROM", "cookie", "'cookie' is none of"),
        ("GATEWAY_TOKEN_FROM", "query:a b", "'query:a b' is none of"),
        ("GATEWAY_TOKEN_ISSUERS", "-,https://idp", "write it alone"),
        ("GATEWAY_TOKEN_AGE_MAX_S", "0", "a whole number from 1"),
    ],
)
def test_a_bad_value_is_refused(variable: str, text: str, why: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(why)) as refused:
        Settings.from_environment({variable: text})
    assert str(refused.value).startswith(f"{variable}=")
    assert "word" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["https://idp.example.org/a?b=c", "http://127.0.0.1:9/a", "http://[::1]:9/a", "http://localhost/a"]
)
def test_https_or_this_machine_is_taken(url: str) -> None:
    assert Settings.from_environment({"GATEWAY_JWKS_URL": url, **CHECKED}).identity.jwks_url == url


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({"GATEWAY_AUTH": "required", **REDIS}, "GATEWAY_AUTH=required needs keys"),
        ({"GATEWAY_AUTH": "optional", **REDIS}, "GATEWAY_AUTH=optional needs keys"),
        ({"GATEWAY_TOKEN_SECRETS_FILE": "a", "GATEWAY_TOKEN_KEYS_FILE": "b"}, "must not be set together"),
        (
            {"GATEWAY_TOKEN_SECRETS_FILE": "a", "GATEWAY_CONNECT_HOOK": "http://app/who"},
            "must not be set together",
        ),
        ({"GATEWAY_JWKS_URL": "https://idp/a"}, "needs GATEWAY_TOKEN_ISSUERS and GATEWAY_TOKEN_AUDIENCES"),
        ({"GATEWAY_JWKS_URL": "https://idp/a", "GATEWAY_TOKEN_ISSUERS": "-"}, "GATEWAY_TOKEN_AUDIENCES"),
        ({"GATEWAY_TOKEN_FROM": "cookie:chat"}, "needs GATEWAY_ORIGINS"),
        ({"GATEWAY_TOKEN_FROM": "auth,cookie:chat", "GATEWAY_ORIGINS": "*"}, "needs GATEWAY_ORIGINS"),
        ({"GATEWAY_JWKS_STALE_S": "60"}, "must not be below GATEWAY_JWKS_REFRESH_S"),
        ({"GATEWAY_JWKS_REFRESH_S": "10"}, "must not be below GATEWAY_JWKS_COOLDOWN_S"),
    ],
)
def test_options_that_contradict_each_other_are_refused(environment: dict[str, str], why: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(why)):
        Settings.from_environment(environment)


def test_what_is_left_out_on_purpose_is_taken() -> None:
    for environment in (
        {"GATEWAY_JWKS_URL": "https://idp/a", "GATEWAY_TOKEN_ISSUERS": "-", "GATEWAY_TOKEN_AUDIENCES": "-"},
        {"GATEWAY_TOKEN_FROM": "cookie:chat", "GATEWAY_ORIGINS": "https://chat.example.org"},
        {"GATEWAY_AUTH": "required"},  # the embedded Valkey gets a development secret
    ):
        Settings.from_environment(environment)
