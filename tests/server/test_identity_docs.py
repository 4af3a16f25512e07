"""docs/identity.md: what it tells people to write makes tokens that count, and it names what can be set."""

from __future__ import annotations

import re
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

from gateway.access.signing_keys import keys_of_secrets
from gateway.access.tokens import TokenRules, header_of, verify
from gateway.access.verifying_keys import KeySet
from gateway.metrics import auth
from gateway.server.cli_token import CAUSES
from tests.support.tokens import SECRET, secrets_file

PAGE = (Path(__file__).resolve().parents[2] / "docs/identity.md").read_text()


def test_the_flask_application_of_the_page_mints_a_token_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("flask", reason="Flask comes with the group `load`")
    file = secrets_file(tmp_path, ("2026-11", SECRET))
    monkeypatch.setenv("FLASK_SECRET", "for tests")
    monkeypatch.setenv("CHAT_SECRETS", str(file))
    (code,) = re.findall(r"```python\n(# flask_app.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {"__name__": "flask_app"}
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ResourceWarning
        )  # the page is short, and leaves the file to the collector
        exec(code, names)
    client = names["app"].test_client()
    assert client.get("/chat-token").status_code == 401
    with client.session_transaction() as session:
        session["user_id"], session["name"] = 42, "Ada"
    answer = client.get("/chat-token")
    token = answer.get_json()["token"]
    keys = KeySet(keys_of_secrets(file.read_text()))
    identity, _ = verify(token, header_of(token), keys, TokenRules(), time.time())
    assert (identity.user, identity.name) == ("42", "Ada")
    assert identity.grants == {"lobby": {"join", "send"}}
    assert answer.headers["Cache-Control"] == "no-store"


def test_every_cause_that_the_command_explains_is_counted() -> None:
    assert not [cause for cause in CAUSES if not auth.knows(cause)]
