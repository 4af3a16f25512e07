"""`[[webhook]]` of the configuration file: what it may say, and what it may not."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from gateway.access.config_file import ConfigFile
from gateway.option_types import SettingsError
from gateway.webhooks.table import HOOKS_MAX, webhooks_in
from gateway.webhooks.webhook import EVENTS
from tests.support.pages import blocks

ONE, TWO = (base64.b64encode(bytes([letter]) * 24).decode() for letter in b"ab")
URL = "https://app.example.org/events"


@pytest.fixture
def secret(tmp_path: Path) -> str:
    path = tmp_path / "secret"
    path.write_text(f"# the new one\nwhsec_{ONE}\n{TWO}\n")
    return str(path)


def read(*lines: str) -> ConfigFile:
    return ConfigFile("gw.toml", "[[webhook]]\n" + "\n".join(lines))


def test_a_webhook_is_read_with_both_of_its_secrets(secret: str) -> None:
    (hook,) = webhooks_in(
        read(
            'name = "crm"',
            f'url = "{URL}"',
            'events = ["room"]',
            'rooms = ["a:*"]',
            f'secret_file = "{secret}"',
        )
    )
    assert (hook.name, hook.url, hook.events, hook.rooms) == ("crm", URL, ("room",), ("a:*",))
    assert hook.secrets == (b"a" * 24, b"b" * 24)
    assert hook.wants("r", "a:b")
    assert not hook.wants("r", "b")
    assert not hook.wants("m", "a:b")


def test_the_table_of_the_page_is_read(secret: str) -> None:
    (table,) = [block.text for block in blocks("docs/webhooks.md") if block.text.startswith("[[webhook]]")]
    text = re.sub(r'secret_file = ".+"', f'secret_file = "{secret}"', table)
    assert text != table
    (hook,) = webhooks_in(ConfigFile("gw.toml", text))
    assert (hook.name, hook.events, hook.rooms) == ("app", EVENTS, ("support:**",))


def test_all_but_the_address_and_the_secret_can_be_left_out(secret: str) -> None:
    (hook,) = webhooks_in(read(f'url = "{URL}"', f'secret_file = "{secret}"'))
    assert (hook.events, hook.rooms) == (EVENTS, ("**",))
    assert hook.name.startswith("hook-")


def test_a_secret_may_stand_in_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", f"{ONE},whsec_{TWO}")
    (hook,) = webhooks_in(read(f'url = "{URL}"', 'secret_env = "HOOK_SECRET"'))
    assert hook.secrets == (b"a" * 24, b"b" * 24)


def test_neither_secret_nor_address_is_shown(secret: str) -> None:
    (hook,) = webhooks_in(read(f'url = "{URL}?key=hidden"', f'secret_file = "{secret}"'))
    assert "hidden" not in repr(hook)
    assert "aaa" not in repr(hook)


REFUSED = {
    "no address": (['secret_file = "{secret}"'], "has no url: say where events are posted to"),
    "no secret": ([f'url = "{URL}"'], "needs a secret_file or a secret_env"),
    "two secrets": ([f'url = "{URL}"', 'secret_file = "{secret}"', 'secret_env = "A"'], "one of them"),
    "another scheme": (
        ['url = "ftp://hidden"', 'secret_file = "{secret}"'],
        "line 2: url = … is not allowed",
    ),
    "a login in it": (['url = "https://a:hidden@b/"', 'secret_file = "{secret}"'], "url = … is not allowed"),
    "an unknown event": ([f'url = "{URL}"', 'events = ["joined"]'], "did you mean 'member'?"),
    "no event": ([f'url = "{URL}"', "events = []"], "a list of some of message, room, member"),
    "no pattern": (
        [f'url = "{URL}"', 'rooms = ["a*"]', 'secret_file = "{secret}"'],
        "line 3: rooms = ['a*']",
    ),
    "no name": (
        [f'url = "{URL}"', 'name = "a b"', 'secret_file = "{secret}"'],
        "name = 'a b' is not allowed",
    ),
    "an unknown key": ([f'url = "{URL}"', 'secret = "hidden"'], "'secret' is no key of [[webhook]]"),
    "no such file": ([f'url = "{URL}"', 'secret_file = "/nowhere"'], "No such file or directory"),
    "no such variable": ([f'url = "{URL}"', 'secret_env = "NO_SUCH"'], "that variable is not set"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_meant_is_refused_with_its_line_and_without_secrets(why: str, secret: str) -> None:
    lines, said = REFUSED[why]
    with pytest.raises(SettingsError) as refused:
        webhooks_in(read(*(line.replace("{secret}", secret) for line in lines)))
    assert said in str(refused.value)
    assert str(refused.value).startswith("gw.toml, line ")
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize(
    "text", ["", "# nothing", "short", base64.b64encode(b"a" * 23).decode(), f"{ONE}\nü"]
)
def test_a_bad_secret_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad").write_text(text)
    with pytest.raises(SettingsError) as refused:
        webhooks_in(read(f'url = "{URL}"', f'secret_file = "{tmp_path / "bad"}"'))
    assert "secret_file = " in str(refused.value)
    assert ONE not in str(refused.value)


def test_each_has_a_name_of_its_own_and_there_are_not_too_many(secret: str) -> None:
    def table(url: str) -> str:
        return f'[[webhook]]\nurl = "{url}"\nsecret_file = "{secret}"\n'

    with pytest.raises(SettingsError, match="line 4: line 1 has a webhook of that name, too"):
        webhooks_in(ConfigFile("gw.toml", table(URL) + table(URL)))
    many = "".join(table(f"{URL}/{number}") for number in range(HOOKS_MAX + 1))
    with pytest.raises(SettingsError, match=f"more than {HOOKS_MAX} webhooks"):
        webhooks_in(ConfigFile("gw.toml", many))
