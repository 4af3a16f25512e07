"""docs/server-api.md: what it shows works against a gateway, and names what there is."""

from __future__ import annotations

import asyncio
import builtins
import re
import shutil
import subprocess
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from gateway.access.api_keys import SCOPES
from gateway.access.config_file import ConfigFile
from gateway.access.key_table import keys_in
from gateway.api.answers import STATUSES
from gateway.backend import Backend
from gateway.server.app import build_app
from tests.support.backends import key_for
from tests.support.serving import serving, settings

PAGE = (Path(__file__).resolve().parents[2] / "docs/server-api.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


class Served(NamedTuple):
    url: str
    key: str


@pytest_asyncio.fixture
async def served(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    key, configured = key_for()
    async with serving(build_app(settings(redis_url, GATEWAY_API_KEYS=configured))) as url:
        monkeypatch.setenv("CHAT_URL", url)
        monkeypatch.setenv("CHAT_KEY", key)
        yield Served(url, key)


async def test_the_line_for_curl_publishes(served: Served) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    (line,) = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    command = ["sh", "-c", line]
    ran = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=30)
    assert re.fullmatch(r'\{"id":"[^"]+:\d+","duplicate":false\}', ran.stdout), ran


def _run(code: str) -> list[str]:
    """What a program prints."""
    said: list[str] = []

    def note(*values: object) -> None:
        said.append(" ".join(map(str, values)))

    exec(code, {"__name__": "example", "__builtins__": {**vars(builtins), "print": note}})
    return said


async def test_the_first_program_publishes_and_is_told_what_is_wrong(served: Served) -> None:
    said = await asyncio.to_thread(_run, PYTHON[0])
    assert re.fullmatch(r"\S+:\d+ Your order has left\.", said[0])
    assert said[1] == "too_large 413 False"
    assert "print(error.code, error.status, error.retryable)  # too_large 413 False" in PYTHON[0]


async def test_the_second_program_does_several_at_once(served: Served) -> None:
    said = await asyncio.to_thread(_run, PYTHON[1])
    assert [each.partition("(")[0] for each in said] == ["Published", "Members", "None", "Published"]


async def test_the_flask_recipe_says_once_what_is_asked_twice(served: Served, room: str) -> None:
    pytest.importorskip("flask", reason="Flask comes with the group `load`")
    names: dict[str, Any] = {"__name__": "flask_app"}
    (code,) = (each for each in PYTHON if each.startswith("# flask_app"))
    exec(code.replace("order:{order}", f"{room}:{{order}}"), names)
    client = names["app"].test_client()
    first = await asyncio.to_thread(client.post, "/orders/7/shipped")
    again = await asyncio.to_thread(client.post, "/orders/7/shipped")
    assert first.get_json() == again.get_json()
    backend = Backend(*served)
    history = await asyncio.to_thread(backend.history, f"{room}:7")
    assert [each["message"] for each in history.messages] == ["Your order has left."]
    backend.close()


@pytest.mark.parametrize("code", PYTHON, ids=[each.partition("\n")[0][:30] for each in PYTHON])
def test_every_program_can_be_compiled(code: str) -> None:
    compile(code, "docs/server-api.md", "exec")


def test_the_table_of_the_page_is_a_key() -> None:
    (table,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (configured,) = keys_in(ConfigFile("gw.toml", table), ()).configured
    assert configured.key.scopes == frozenset(tomllib.loads(table)["key"][0]["scopes"])
    assert all(f"`{scope}`" in PAGE for scope in SCOPES)


def test_the_page_has_every_status_of_a_refusal() -> None:
    rows = re.findall(r"^\| (\d{3}(?:, \d{3})*) \|", PAGE, re.MULTILINE)
    listed = {int(each) for row in rows for each in row.split(", ")}
    assert listed == set(STATUSES) - {200}


def test_every_link_of_the_page_leads_somewhere() -> None:
    docs = Path(__file__).resolve().parents[2] / "docs"
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGE):
        assert (docs / target).exists(), target
