"""`gateway token`: makes tokens that count, and says why others do not."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.server.cli import main
from tests.support.tokens import OTHER_SECRET, SECRET, pem, rsa_key, secrets_file, signed


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with one secret, and nothing else in the environment."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setenv("GATEWAY_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("GATEWAY_TOKEN_SECRETS_FILE", str(secrets_file(tmp_path)))
    return tmp_path


def token(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["token", *arguments])


def test_a_token_that_was_made_counts_and_says_what_it_grants(folder: Path) -> None:
    made = token("new", "--sub", "42", "--name", "Ada", "--rooms", '{"interview:*":["join","send"]}',
                 "--room", "lobby=join,sned", "--ttl", "10m")  # fmt: skip
    shown = token("show", made.output.strip())
    assert shown.exit_code == 0
    assert "counts   user '42', is named 'Ada', for " in shown.output
    assert "grants   interview:*: join, send" in shown.output
    assert "note     these grant nothing: sned" in shown.output


def test_issuer_and_audience_are_the_first_that_are_asked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_TOKEN_ISSUERS", "https://a,https://b")
    monkeypatch.setenv("GATEWAY_TOKEN_AUDIENCES", "chat")
    made = token("new", "--user", "42")
    assert token("show", made.output.strip()).exit_code == 0
    monkeypatch.setenv("GATEWAY_TOKEN_AUDIENCES", "shop")
    refused = token("show", made.output.strip())
    assert "refused  invalid (aud): `aud` has none of GATEWAY_TOKEN_AUDIENCES" in refused.output
    assert refused.exit_code == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("hello", "refused  malformed (not_a_token)"),
        (signed(OTHER_SECRET), "refused  invalid (signature): none of the keys has signed it"),
        (signed(kid="two"), "refused  invalid (unknown_key)"),
        (signed(rsa_key(), "RS256"), "refused  invalid (algorithm)"),
        (signed(iat=1, exp=2), "refused  expired (expired): `exp` is over"),
    ],
)
def test_a_token_that_does_not_count_is_told_with_its_cause(folder: Path, text: str, why: str) -> None:
    shown = token("show", text)
    assert why in shown.output
    assert shown.exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--sub", ""], "`sub` is missing"),
        (["--sub", "a", "--ttl", "soon"], "--ttl is not a time"),
        (["--sub", "a", "--ttl", "30d"], "lives longer than GATEWAY_TOKEN_AGE_MAX_S"),
        (["--sub", "a", "--rooms", "[]"], "--rooms is not an object"),
        (["--sub", "a", "--rooms", "{"], "--rooms is not an object"),
        (["--sub", "a", "--room", "lobby"], "--room is not ROOM=OPERATION"),
        (["--sub", "a", "--name", "x" * 65], "too long"),
    ],
)
def test_a_token_that_would_be_refused_is_not_made(folder: Path, arguments: list[str], why: str) -> None:
    made = token("new", *arguments)
    assert why in made.output
    assert made.exit_code == 2


def test_the_first_secret_signs_and_all_verify(folder: Path) -> None:
    secrets_file(folder, ("new", OTHER_SECRET), ("one", SECRET))
    assert "key      new (HS256)" in token("show", token("new", "--sub", "a").output.strip()).output
    assert "key      one (HS256)" in token("show", signed(kid="one")).output


def test_without_keys_the_embedded_valkey_s_secret_signs_and_with_a_redis_nothing_does(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GATEWAY_TOKEN_SECRETS_FILE")
    assert "key      development" in token("show", token("new", "--sub", "a").output.strip()).output
    file = folder / "state" / "token-secrets"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(base64.b64decode(file.read_text().partition(":")[2])) == 32
    file.unlink()
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    made = token("new", "--sub", "a")
    assert "There is no secret to sign with" in made.output
    assert not file.exists()


def test_public_keys_verify_and_sign_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = folder / "public"
    file.write_text(pem(rsa_key()))
    monkeypatch.delenv("GATEWAY_TOKEN_SECRETS_FILE")
    monkeypatch.setenv("GATEWAY_TOKEN_KEYS_FILE", str(file))
    assert token("show", signed(rsa_key(), "RS256", "any")).exit_code == 0
    assert "There is no secret to sign with" in token("new", "--sub", "a").output
