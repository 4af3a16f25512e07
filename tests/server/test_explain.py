"""`gateway explain` and the rules in `gateway check`, as somebody reads them in a terminal."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.access.config_file import ConfigFile
from gateway.access.room_rules import RoomRules, open_to
from gateway.access.room_table import rules_in
from gateway.server.check import check
from gateway.server.cli import main
from gateway.server.explain import rule_lines
from gateway.settings import Settings
from tests.support.tokens import secrets_file, signed


def rules_of(path: str, text: str) -> RoomRules:
    rules = rules_in(ConfigFile(path, text))
    assert rules is not None
    return rules


FILE = """\
[[room]]
match = "interview:*"
join = "granted"
members_max = 5

[[room]]
match = "interview:7"
join = "nobody"
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "gw.toml"
    path.write_text(FILE)
    monkeypatch.setenv("GATEWAY_CONFIG", str(path))
    return path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["explain", *arguments])


def test_it_says_for_each_operation_whether_and_why(file: Path) -> None:
    told = run("interview:42", "--grants", '{"interview:*": ["join"]}')
    assert told.exit_code == 0, told.output
    lines = told.output.splitlines()
    assert lines[0] == "room      interview:42"
    assert "who       user 'somebody', granted interview:*: join" in lines
    rule = " ".join(told.output.split())
    assert f'rule line 1 of {file}: match "interview:*", join granted, at most 5 users' in rule
    assert "join      yes  the token grants it for 'interview:*'" in lines
    assert "send      yes  whoever is in the room may" in lines
    assert "moderate  no   it takes a grant, which the token lacks" in lines
    assert max(len(line) for line in lines if str(file) not in line) <= 80


def test_a_guest_is_who_is_asked_about_if_nobody_is(file: Path) -> None:
    assert run("interview:42").output == run("interview:42", "--guest").output
    assert "join      no   it takes a grant, and a guest has none" in run("interview:42").output
    assert f"none of {file} matches" in " ".join(run("lobby").output.split())


def test_a_tokens_grants_are_read(file: Path) -> None:
    claims = {"sub": "42", "rooms": {"interview:42": ["join", "moderate"]}}
    part = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    told = run("interview:42", "--token", f"e30.{part}.x").output
    assert "note      GATEWAY_AUTH is off here, so everybody is a guest" in told
    assert "who       user '42', granted interview:42: join, moderate" in told
    assert "moderate  yes  the token grants it for 'interview:42'" in told


@pytest.mark.parametrize(
    ("kid", "note"),
    [("one", None), ("two", "the token would be refused here, as its `kid` is the name of none")],
)
def test_it_says_whether_the_token_counts_here(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kid: str, note: str | None
) -> None:
    monkeypatch.setenv("GATEWAY_AUTH", "required")
    monkeypatch.setenv("GATEWAY_TOKEN_SECRETS_FILE", str(secrets_file(tmp_path)))
    told = run("interview:42", "--token", signed(kid=kid, rooms={"interview:*": ["join"]}))
    assert told.exit_code == 0, told.output
    assert "join      yes  the token grants it for 'interview:*'" in told.output
    words = " ".join(told.output.split())
    assert (note in words) if note is not None else "note" not in words


@pytest.mark.parametrize(
    "arguments",
    [
        ("a", "--guest", "--grants", "{}"),
        ("a", "--grants", "{"),
        ("a", "--grants", '{"a": "join"}'),
        ("a", "--token", "nonsense"),
        ("a", "--token", "e30.bm90aGluZw.x"),
        (),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(file: Path, arguments: tuple[str, ...]) -> None:
    told = run(*arguments)
    assert told.exit_code == 2
    assert "Traceback" not in told.output
    assert not isinstance(told.exception, ValueError)


def test_a_file_that_cannot_be_meant_is_refused(file: Path) -> None:
    file.write_text("[[rooms]]\n")
    told = run("a")
    assert (told.exit_code, f"{file}, line 1: [[rooms]] is not known" in told.output) == (2, True)


def test_check_refuses_it_too_before_it_looks_at_redis(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("[[rooms]]\n")
    assert (
        check(Settings.from_environment({"GATEWAY_CONFIG": str(file), "REDIS_URL": "redis://127.0.0.1:1"}))
        == 1
    )
    assert (
        capsys.readouterr().err == f"Error: {file}, line 1: [[rooms]] is not known; did you mean [[room]]?\n"
    )


def test_check_shows_the_rules_and_what_is_odd_about_them() -> None:
    lines = list(rule_lines(rules_of("gw.toml", FILE), do_tokens_count=False))
    assert lines[:3] == [
        ("rules", "2 in gw.toml; the first that matches decides, else nobody"),
        ("  line 1", '"interview:*" join granted, at most 5 users'),
        ("  line 6", '"interview:7" join nobody'),
    ]
    assert [heading for heading, _ in lines[3:]] == ["warning", "warning"]
    assert lines[3][1] == "line 6 (interview:7) decides nothing: line 1 does before it"
    assert lines[4][1].startswith("line 1 asks for users or grants, and no token counts")
    assert len(list(rule_lines(rules_of("gw.toml", FILE), do_tokens_count=True))) == 4


def test_check_says_that_there_are_none_and_does_not_show_a_thousand() -> None:
    assert list(rule_lines(open_to(False), False)) == [
        ("rules", "no [[room]] (GATEWAY_CONFIG): join anyone for every room")
    ]
    many = rules_of("gw.toml", "".join(f'[[room]]\nmatch = "a:{number}"\n' for number in range(1000)))
    assert len(list(rule_lines(many, True))) == 32
