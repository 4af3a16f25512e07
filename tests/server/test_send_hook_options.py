"""The hook that sees messages first, from the options: what stops a start, and that no secret is told."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from gateway.option_types import SettingsError
from gateway.server.rules import configured, send_hook_for
from gateway.settings import Settings

RULE = '[[room]]\nmatch = "**"\njoin = "anyone"\nmoderation = "words"\n'


def settings(folder: Path, **more: str) -> Settings:
    file = folder / "gateway.toml"
    file.write_text(RULE)
    return Settings.from_environment({"GATEWAY_CONFIG": str(file), **more})


def test_a_rule_that_nobody_judges_by_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="line 1: 'moderation' needs GATEWAY_SEND_HOOK"):
        configured(settings(tmp_path))
    with_hook = settings(tmp_path, GATEWAY_SEND_HOOK="http://app.internal/may-say")
    assert configured(with_hook).rules.rules[0].moderation == "words"
    assert send_hook_for(Settings()) is None
    assert send_hook_for(with_hook) is not None


def test_a_secret_that_is_none_stops_the_start_and_is_not_told(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    hook = {"GATEWAY_SEND_HOOK": "http://app.internal/may-say", "GATEWAY_SEND_HOOK_SECRET_FILE": str(file)}
    for text in ("c2hvcnQ=", "no base64: topsecret"):
        file.write_text(text)
        with pytest.raises(
            SettingsError, match=r"GATEWAY_SEND_HOOK_SECRET_FILE=.* is not allowed"
        ) as refused:
            configured(settings(tmp_path, **hook))
        assert text not in str(refused.value)
    file.write_text("whsec_" + base64.b64encode(b"s" * 24).decode())
    assert send_hook_for(settings(tmp_path, **hook)) is not None


@pytest.mark.parametrize(
    "url", ["ftp://app", "app/may-say", "http://user:word@app/", "http://app/#x", "http://a b/"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="GATEWAY_SEND_HOOK"):
        Settings.from_environment({"GATEWAY_SEND_HOOK": url})
