"""`gateway key`: what it prints is what the configuration takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.access.api_keys import SCOPES, ApiKey
from gateway.server.api_key_lines import key_lines
from gateway.server.cli import main
from gateway.server.rules import configured
from gateway.settings import Settings


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["key", *arguments])


def printed(output: str) -> str:
    (made,) = re.findall(r"gwk_[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])", output)
    return str(made)


def table(output: str) -> str:
    return output[output.index("[[key]]") :].partition("\n\n")[0] + "\n"


def test_a_new_key_counts_with_the_table_that_is_printed(tmp_path: Path) -> None:
    told = run("new", "--name", "support", "--scope", "read", "--scope", "publish", "--room", "support:**")
    assert told.exit_code == 0, told.output
    file = tmp_path / "gw.toml"
    file.write_text(table(told.output))
    keys = configured(Settings.from_environment({"GATEWAY_CONFIG": str(file)})).api_keys
    assert keys.find(printed(told.output)) == ApiKey(
        "support", frozenset({"publish", "read"}), ("support:**",)
    )
    assert "GATEWAY_API_KEYS" not in told.output


def test_a_new_key_for_everything_counts_with_the_line_that_is_printed_too() -> None:
    told = run("new", "--name", "backend")
    line = told.output.splitlines()[-1].removeprefix("GATEWAY_API_KEYS=")
    keys = configured(Settings.from_environment({"GATEWAY_API_KEYS": line})).api_keys
    assert keys.find(printed(told.output)) == ApiKey("backend", frozenset(SCOPES), ("**",))
    assert printed(run("new", "--name", "backend").output) != printed(told.output)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--name", "a b"), "--name 'a b' is not allowed: a name has"),
        (("--name", "a", "--room", "a*"), "--room 'a*' is not allowed: "),
        (("--name", "a", "--scope", "write"), "'write' is not one of"),
        ((), "Missing option '--name'"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(arguments: tuple[str, ...], said: str) -> None:
    told = run("new", *arguments)
    assert (told.exit_code, said in told.output, "gwk_" in told.output) == (2, True, False), told.output


def test_list_shows_what_each_may_do_and_where_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("list").output.startswith("There is none")
    file = tmp_path / "gw.toml"
    file.write_text(table(run("new", "--name", "jobs", "--scope", "publish", "--room", "jobs:*").output))
    line = run("new", "--name", "backend").output.splitlines()[-1].removeprefix("GATEWAY_API_KEYS=")
    monkeypatch.setenv("GATEWAY_CONFIG", str(file))
    monkeypatch.setenv("GATEWAY_API_KEYS", line)
    assert run("list").output.splitlines() == [
        f"jobs may publish in jobs:* ({file}, line 1)",
        "backend may publish, read, moderate, admin in every room (GATEWAY_API_KEYS)",
    ]
    file.write_text("[[keys]]\n")
    assert (run("list").exit_code, "did you mean [[key]]" in run("list").output) == (2, True)


def test_check_names_keys_and_scopes_and_does_not_show_a_thousand() -> None:
    assert list(key_lines(configured(Settings()).api_keys)) == [
        ("api keys", "none, so the server API is off")
    ]
    hashes = ",".join(f"k{number}:{number:064x}" for number in range(40))
    lines = list(key_lines(configured(Settings.from_environment({"GATEWAY_API_KEYS": hashes})).api_keys))
    assert lines[0][1].startswith("40: k0 may publish, read, moderate, admin in every room; k1 may")
    assert lines[1] == ("", "and 10 more: `gateway key list`")
