"""What stands in the page's files: text only as text, nothing from elsewhere, sizes that stay small."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.option_groups import RedisOptions
from gateway.page_options import PageOptions
from gateway.settings import Settings
from gateway.web.assets import Assets
from gateway.web.page import ASSETS, FOLDER, MODULES, page_of

FILES = [path for path in sorted(FOLDER.rglob("*")) if path.is_file()]
LINES_MAX = 400
UNSAFE = re.compile(
    r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|new Function|srcdoc|DOMParser|createContextual"
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_is_made_from_text_and_nothing_comes_from_elsewhere(path: Path) -> None:
    text = path.read_text()
    assert not UNSAFE.search(text)
    addresses = re.findall(r"https?://[^\s\"'<>)]+|(?:src|href)=\"//", text)
    assert set(addresses) <= {"http://www.w3.org/2000/svg"}
    assert "sourceMappingURL" not in text


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".js"], ids=lambda path: path.name)
def test_no_module_is_long(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LINES_MAX


def test_the_page_has_no_script_and_no_style_of_its_own() -> None:
    text = (FOLDER / "page/index.html").read_text()
    assert re.findall(r"<script[^>]*>[^<]*</script>", text) == [
        '<script type="module" src="page/main.js"></script>'
    ]
    assert "<style" not in text
    assert not re.search(r"\s(style|on[a-z]+)=", text)


def test_every_file_is_served() -> None:
    served = {*MODULES, *ASSETS, "page/index.html"}
    assert {str(path.relative_to(FOLDER)) for path in FILES} == served


def test_the_options_stand_in_the_page_as_text() -> None:
    page = page_of('/a"b<c>', "required", Assets(FOLDER, ASSETS, {})).body.decode()
    assert '<meta name="gateway-path" content="/a&quot;b&lt;c&gt;" />' in page
    assert '<meta name="gateway-auth" content="required" />' in page
    assert "{" not in page


@pytest.mark.parametrize(
    ("said", "auth", "redis", "is_there"),
    [
        ("auto", "off", "redis://r/0", True), ("auto", "required", "redis://r/0", False), ("off", "off", None, False),
        ("auto", "optional", "redis://r/0", False), ("on", "required", "redis://r/0", True),
        ("auto", "required", None, True),
    ],
)  # fmt: skip
def test_when_there_is_a_page(said: str, auth: str, redis: str | None, is_there: bool) -> None:
    given = {
        "GATEWAY_AUTH": auth,
        "GATEWAY_PAGE": said,
        "GATEWAY_TOKEN_SECRETS_FILE": "secrets" if auth != "off" else "",
    }
    settings = Settings.from_environment({**given, **({"REDIS_URL": redis} if redis else {})})
    assert (settings.page, settings.redis) == (PageOptions(page=said), RedisOptions(url=redis))
    assert settings.has_page is is_there


@pytest.mark.parametrize(("interface", "file"), [("Room", "chat/room.js"), ("Chat", "chat.js")])
def test_the_types_name_what_there_is(interface: str, file: str) -> None:
    types, code = (FOLDER / "chat.d.ts").read_text(), (FOLDER / file).read_text()
    (body,) = re.findall(rf"export interface {interface} \{{\n(.*?)\n\}}", types, re.DOTALL)
    named = set(re.findall(r"^  (?:readonly )?(\w+)\??[(:]", body, re.MULTILINE)) - {"on"}
    there = set(re.findall(r"^  (?:get |async )?(\w+)(?:\(| =|;)", code, re.MULTILINE)) - {"constructor"}
    assert named
    assert named <= there
    ours = {"request", "join", "isAsked", "forgetRoom", "say", "options", "stored"}
    assert there - named <= ours | {name for name in there if re.match(r"on[A-Z]", name)}
