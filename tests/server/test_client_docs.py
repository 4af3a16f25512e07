"""docs/python-client.md and the other pages about clients: programs compile or run, and links lead somewhere."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway import client
from gateway.client import Chat, Room
from gateway.server.app import build_app
from tests.support.serving import serving, settings

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ("python-client.md", "from-node.md", "from-flask-socketio.md", "clients.md")


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    for target, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", (DOCS / page).read_text()):
        if "://" in target:
            continue
        found = DOCS / (target or page)
        assert found.exists(), target
        if anchor and found.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", found.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}
            assert anchor in slugs, f"{target}#{anchor}"


@pytest.mark.system
async def test_the_first_program_says_hello(redis_url: str, room: str) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "python-client.md").read_text(), re.DOTALL)
    async with serving(build_app(settings(redis_url))) as url:
        ran = code.replace("http://127.0.0.1:8006", url).replace("lobby", room)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-u", "-c", ran, stdout=subprocess.PIPE
        )
        try:
            assert process.stdout is not None
            async with asyncio.timeout(20):
                lines = [(await process.stdout.readline()).decode() for _ in range(2)]
            assert re.fullmatch(r"\S+:1\n", lines[0])
            assert lines[1] == "Bob Hello\n"
        finally:
            process.kill()
            await process.communicate()


def test_the_page_names_what_there_is() -> None:
    page = (DOCS / "python-client.md").read_text()
    for owner in (Chat, Room):
        for name, found in vars(owner).items():
            if not name.startswith("_") and name not in (
                "on_event", "publish", "mark_soon", "forget", "close", "start",
            ) and (callable(found) or isinstance(found, property)):  # fmt: skip
                assert re.search(rf"\b{name}\b", page), name
    assert all(
        each in page
        for each in client.__all__
        if each not in ("Event", "Members", "Message", "Pending", "Chat", "Room")
    )
