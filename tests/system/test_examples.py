"""The programs of docs/examples run: a page in a browser, a bot, and applications that give tokens and post."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway.client import connect
from gateway.server.app import build_app
from tests.support.backends import key_for
from tests.support.binaries import program
from tests.support.bundles import bundle
from tests.support.identified import with_secrets
from tests.support.serving import serving, settings
from tests.support.waiting import until

EXAMPLES = Path(__file__).resolve().parents[2] / "docs/examples"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
ANSWERS = """<script>
  new MutationObserver(() => {
    if (!list().includes('ping') || list().includes('pong')) return;
    document.getElementById('text').value = 'pong <b>';
    document.getElementById('form').requestSubmit();
  }).observe(document.getElementById('messages'), { childList: true });
  const list = () => document.getElementById('messages').textContent;
</script>"""
"""Somebody at the page, who answers."""


@asynccontextmanager
async def running(*command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, 9)
        await process.communicate()


async def test_the_page_of_thirty_lines_chats(redis_url: str, tmp_path: Path) -> None:
    page = (EXAMPLES / "browser.html").read_text()
    assert len(page.splitlines()) <= 40
    site = web.Application()

    async def shown(request: web.Request) -> web.Response:
        return web.Response(text=page + ANSWERS, content_type="text/html")

    site.router.add_get("/", shown)
    found = program(next(filter(shutil.which, BROWSERS), BROWSERS[0]))
    app = build_app(
        settings(redis_url, GATEWAY_CLIENT_DIR=str(bundle(tmp_path / "bundle")), GATEWAY_ORIGINS="*")
    )
    async with serving(app) as url, serving(site) as page_url, connect(url, username="Bob") as bob:
        lobby = bob.room("lobby")
        await lobby.send("ping")
        profile = f"--user-data-dir={tmp_path / 'profile'}"
        async with running(found, *FLAGS, profile, f"{page_url}/?gateway={url}"):
            await until(
                lambda: lobby.messages and lobby.messages[-1].text == "pong <b>", 30, "the page answers"
            )
            assert lobby.messages[-1].username.startswith("Guest ")


async def test_the_bot_answers(redis_url: str, room: str) -> None:
    async with serving(build_app(settings(redis_url))) as url, connect(url, username="Ada") as ada:
        asking = ada.room(room)
        async with running(sys.executable, str(EXAMPLES / "bot.py"), url, room) as bot:
            assert bot.stdout is not None
            assert await asyncio.wait_for(bot.stdout.readline(), 20) == b"listening\n"
            asked = await asking.send("!time")
            await until(lambda: len(asking.messages) == 2, 10, "the bot answers")
            answer = asking.messages[-1]
            assert (answer.username, answer.meta) == ("Timekeeper", {"reply_to": asked})


def _flask(names: dict[str, Any]) -> tuple[str, list[str]]:
    client = names["app"].test_client()
    assert client.get("/chat-token").status_code == 401
    with client.session_transaction() as session:
        session.update(user_id=42, name="Ada")
    ids = [client.post("/orders/7/shipped").get_json()["id"] for _ in range(2)]
    return client.get("/chat-token").get_json()["token"], ids


def _django(names: dict[str, Any]) -> tuple[str, list[str]]:
    import_module("django").setup()
    client = import_module("django.test").Client()
    assert client.get("/chat-token").status_code == 401
    session = client.session
    session.update({"user_id": 42, "name": "Ada"})
    session.save()
    client.cookies["sessionid"] = session.session_key
    ids = [client.post("/orders/7/shipped").json()["id"] for _ in range(2)]
    return client.get("/chat-token").json()["token"], ids


@pytest.mark.parametrize(("framework", "visit"), [("flask", _flask), ("django", _django)])
async def test_an_application_gives_tokens_and_posts_once(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, framework: str, visit: Any
) -> None:
    pytest.importorskip(framework, reason=f"{framework} is not installed")
    key, configured = key_for()
    given = with_secrets(tmp_path)
    async with serving(build_app(settings(redis_url, GATEWAY_API_KEYS=configured, **given))) as url:
        for name, value in {
            "FLASK_SECRET": "a", "DJANGO_SECRET": "a", "CHAT_URL": url, "CHAT_KEY": key,
            "CHAT_SECRETS": given["GATEWAY_TOKEN_SECRETS_FILE"],
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "path", [str(EXAMPLES), *sys.path])
        names = vars(import_module(f"{framework}_app"))
        token, ids = await asyncio.to_thread(visit, names)
        names["chat"].close()
        assert ids[0] == ids[1], "asked twice, said once"

        async def tokens() -> str:
            return str(token)

        async with connect(url, token=tokens) as ada:
            order = ada.room("orders:7")
            await until(lambda: order.messages, 10, "the message is there")
            assert (ada.user, order.messages[-1].text) == ("42", "Your order has left.")


def test_every_example_can_be_compiled() -> None:
    for file in EXAMPLES.glob("*.py"):
        compile(file.read_text(), file.name, "exec")
