"""The commands and programs of the documentation do what the pages say, as they stand there."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.backends import key_for
from tests.support.binaries import missing, program
from tests.support.gateways import LIMITED, Gateway, fetch_json
from tests.support.page_blocks import PAGES
from tests.support.pages import REPOSITORY, Block, How, Program, Shell, blocks, commands, found, says
from tests.support.ports import Port
from tests.support.stock_clients import JS_FOLDER
from tests.support.waiting import until

FIRST_PAGES = ("README.md",)
"""Whose programs run by default; the rest takes a minute, and is `long`."""
ENDS_WITHIN_S, READY_WITHIN_S = 60.0, 60.0
API_KEY, API_KEYS = key_for()
SECRET = "2026-11:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
JARS = (
    "io/socket/socket.io-client/2.*/*.jar", "io/socket/engine.io-client/2.*/*.jar", "org/json/json/*/*.jar",
    "com/squareup/okhttp3/okhttp/3.*/*.jar", "com/squareup/okio/okio/1.*/*.jar",
)  # fmt: skip
UV = 'uv() { shift; "$@"; }\n'
"""The environment that `uv run` would use is there already."""
SITE = "http://localhost:8006"


def _runs(kind: type[How]) -> list[object]:
    """All blocks of a kind, those that take long marked so."""
    cases: list[object] = []
    for page, entries in PAGES.items():
        for block in blocks(page):
            how = entries[found(block, entries)]
            if isinstance(how, kind):
                marks = () if page in FIRST_PAGES and kind is Program else (pytest.mark.long,)
                cases.append(pytest.param(block, how, marks=marks, id=f"{page}:{block.line}"))
    return cases


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """One gateway for all programs, with the limits that it has by default, and with a secret for tokens."""
    secrets = tmp_path_factory.mktemp("secrets") / "secrets"
    secrets.touch(0o600)
    secrets.write_text(SECRET)
    options = {
        "GATEWAY_AUTH": "optional",
        "GATEWAY_TOKEN_SECRETS_FILE": str(secrets),
        "GATEWAY_GRACE_S": "0.1",
        "GATEWAY_API_KEYS": API_KEYS,
    }
    async with Gateway(redis_url, workers=1, environment={**LIMITED, **options}) as running:
        yield running


class Place:
    """A folder for a block, and the environment in which it runs."""

    def __init__(self, folder: Path, redis_url: str, port: int) -> None:
        self.folder, self._redis_url = folder, redis_url
        programs = Path(sys.executable).parent
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("GATEWAY_", "GUNICORN_"))
        }
        self.environment = {
            **kept, "PATH": f"{programs}{os.pathsep}{kept['PATH']}", "HOME": str(folder), "PORT": str(port),
            "REDIS_URL": redis_url, "GATEWAY_HOST": "127.0.0.1", "GATEWAY_DRAIN_S": "0", "WEB_CONCURRENCY": "1",
            "REPOSITORY": str(REPOSITORY), "PYTHONPATH": str(REPOSITORY), "CHAT_KEY": API_KEY,
        }  # fmt: skip
        self.at(f"http://127.0.0.1:{port}")

    def at(self, url: str) -> None:
        """Commands and programs speak with the gateway there."""
        self.url = self.environment["CHAT_URL"] = url
        self.environment["PORT"] = url.rpartition(":")[2]

    def here(self, text: str) -> str:
        """The text with this place's addresses for those of the page."""
        text = re.sub(r"redis://127\.0\.0\.1:6379/0|redis://…", self._redis_url, text)
        text = text.replace("/etc/chat-gateway/", f"{self.folder}/").replace(SITE, self.url)
        return re.sub(r" …$", " gateway", text, flags=re.MULTILINE)

    @contextmanager
    def running(self, command: list[str]) -> Iterator[subprocess.Popen[str]]:
        """The command runs, in a process group that does not outlive the block; what it says is in the file `said`."""
        with (self.folder / "said").open("w") as said:
            process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=said,
                stderr=subprocess.STDOUT, text=True, start_new_session=True,
            )  # fmt: skip
        try:
            yield process
        finally:
            for each in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(process.pid, each)
                    process.wait(timeout=10)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    pass

    def said(self) -> str:
        """What the last command said."""
        return (self.folder / "said").read_text()


@pytest.fixture
def place(tmp_path: Path, redis_url: str) -> Iterator[Place]:
    """A folder with a port of its own."""
    port = Port()
    yield Place(tmp_path, redis_url, port.number)
    port.release()


@pytest.mark.parametrize(("block", "how"), _runs(Shell))
async def test_commands_do_what_the_page_says(
    block: Block, how: Shell, place: Place, redis_url: str, gateway: Gateway
) -> None:
    if how.serves_already:
        place.at(gateway.url)
    shown = commands(block.text)
    assert len(shown) == len(how.ways)
    before = f"{how.before}\n"
    for (command, said), way in zip(shown, how.ways, strict=True):
        await _shell(place, before + command, way)
        before = ""
        if said:
            assert says(said).search(place.said()), place.said()


async def _shell(place: Place, command: str, way: str) -> None:
    script = f"set -e\n{UV}{place.here(command)}\n"
    with place.running(["bash", "-c", script]) as process:
        if way == "ends":
            await until(lambda: process.poll() is not None, ENDS_WITHIN_S, f"it ends: {command}")
            assert process.returncode == 0, place.said()
            return

        async def is_ready() -> bool:
            assert process.poll() is None, place.said()
            return (await fetch_json(f"{place.url}/readyz"))[0] == 200

        await until(is_ready, READY_WITHIN_S, f"a gateway is ready: {command}")


@pytest.mark.parametrize(("block", "how"), _runs(Program))
async def test_programs_do_what_the_page_says(
    block: Block, how: Program, place: Place, gateway: Gateway, javascript: None
) -> None:
    place.at(gateway.url)
    text = place.here("\n".join((how.before, block.text, how.after)))
    if block.language == "python":
        command = [sys.executable, "-u", "program.py"]
        (place.folder / "program.py").write_text(text)
    elif block.language == "java":
        command = await _java(place, text)
    else:
        place.environment["TOKEN"] = await _token(place, gateway)
        command = _javascript(place, text)
    with place.running(command) as process:
        await until(
            lambda: how.says in place.said() or process.poll() is not None,
            ENDS_WITHIN_S,
            f"it says {how.says}",
        )
        await asyncio.sleep(0)
        assert how.says in place.said(), place.said()


def _javascript(place: Place, text: str) -> list[str]:
    """A program of a page, or of its console, as a module for Node."""
    text = re.sub(r"'https://cdn\.socket\.io/[^']*'", "'socket.io-client'", text)
    (place.folder / "program.mjs").write_text(text.replace("io();", f"io('{place.url}');"))
    (place.folder / "node_modules").symlink_to(JS_FOLDER / "node_modules")
    return [program("node"), "program.mjs"]


async def _java(place: Place, text: str) -> list[str]:
    """A class, compiled with the client that Maven has fetched."""
    (name,) = re.findall(r"public class (\w+)", text)
    (place.folder / f"{name}.java").write_text(text)
    kept = Path.home() / ".m2/repository"
    jars = [jar for pattern in JARS for jar in sorted(kept.glob(pattern))[:1]]
    if len(jars) < len(JARS):
        missing("io.socket:socket.io-client 2 is not in Maven's repository")
    path = os.pathsep.join(map(str, (*jars, place.folder)))
    await _shell(place, f"{program('javac')} -cp '{path}' {name}.java", "ends")
    return [program("java"), "-cp", path, name]


async def _token(place: Place, gateway: Gateway) -> str:
    secrets = gateway._environment["GATEWAY_TOKEN_SECRETS_FILE"]
    before = f"export GATEWAY_AUTH=required GATEWAY_TOKEN_SECRETS_FILE={secrets}; "
    await _shell(place, f"{before}uv run gateway token new --sub 42 --name Ada --ttl 1h 2>/dev/null", "ends")
    return place.said().strip()
