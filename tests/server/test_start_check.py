"""The files that options name are read before a start, by a process of their own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.option_types import SettingsError
from gateway.server.identity_findings import identity_lines
from gateway.server.preflight import warnings_of
from gateway.server.start_check import refuse_bad_files
from gateway.settings import Settings
from tests.support.tokens import secrets_file


def test_a_bad_file_is_refused_by_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = secrets_file(tmp_path)
    file.write_text("one:c2hvcnQ=")
    monkeypatch.setenv("GATEWAY_AUTH", "required")
    monkeypatch.setenv("GATEWAY_TOKEN_SECRETS_FILE", str(file))
    with pytest.raises(SettingsError) as refused:
        refuse_bad_files(Settings.from_environment())
    assert str(refused.value).startswith(
        f"GATEWAY_TOKEN_SECRETS_FILE={str(file)!r} is not allowed: the secret of line 1"
    )


def test_secrets_that_others_can_read_are_told(tmp_path: Path) -> None:
    file = secrets_file(tmp_path)
    environment = {"GATEWAY_AUTH": "required", "GATEWAY_TOKEN_SECRETS_FILE": str(file)}
    assert list(warnings_of(Settings.from_environment(environment))) == []
    os.chmod(file, 0o644)
    (told,) = warnings_of(Settings.from_environment(environment))
    assert told == f"Every user of this machine can read the secrets in {file}: chmod 600 it."


def test_a_check_names_the_keys_and_what_should_not_stay_so(tmp_path: Path) -> None:
    def lines(**more: str) -> dict[str, str]:
        return dict(identity_lines(Settings.from_environment(more)))

    assert lines() == {"identity": "GATEWAY_AUTH=off: everybody may claim any name"}
    secrets = {"GATEWAY_AUTH": "optional", "GATEWAY_TOKEN_SECRETS_FILE": str(secrets_file(tmp_path))}
    assert lines(**secrets) == {
        "identity": "tokens count, without one a client is a guest",
        "keys": f"1 in {tmp_path / 'secrets'}: one",
    }
    away = {
        "GATEWAY_AUTH": "required", "GATEWAY_JWKS_URL": "http://127.0.0.1:1/keys?key=word",
        "GATEWAY_TOKEN_ISSUERS": "-", "GATEWAY_TOKEN_AUDIENCES": "-",
    }  # fmt: skip
    assert "The keys at http://127.0.0.1:1/keys cannot be read now" in lines(**away)["warning"]
    assert "word" not in str(lines(**away))
    assert (
        "asked of http://app/who"
        in lines(GATEWAY_AUTH="required", GATEWAY_CONNECT_HOOK="http://app/who")["hook"]
    )


def test_where_no_tokens_count_no_process_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.server.start_check.COMMAND", ("/nowhere",))
    refuse_bad_files(Settings.from_environment({"GATEWAY_TOKEN_SECRETS_FILE": "/nowhere"}))
