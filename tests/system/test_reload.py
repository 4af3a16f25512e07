"""A reload brings new code: a module's text is changed, and the new text is served."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.clients import Member
from tests.support.gateways import REPOSITORY, Gateway, fetch_json
from tests.support.opener import Opener
from tests.support.waiting import until

MASTERS_OWN = {
    "gateway", "gateway.server", "gateway.cpus", "gateway.option_pairs", "gateway.option_types",
    "gateway.redis_url", "gateway.settings", "gateway.unknown_options",
} | {
    f"gateway.server.{name}"
    for name in (
        "embedded", "embedded_folder", "fresh_worker", "greeting", "gunicorn_conf", "logs", "refusals", "run_folder",
    )
}  # fmt: skip


@pytest.fixture
def copied() -> Iterator[Path]:
    """A folder with a copy of the package, to be changed."""
    folder = Path(tempfile.mkdtemp(prefix="code-"))
    shutil.copytree(REPOSITORY / "gateway", folder / "gateway", ignore=shutil.ignore_patterns("__pycache__"))
    yield folder
    shutil.rmtree(folder)


def change(copied: Path) -> None:
    """A new version of the package: `/healthz` says something else."""
    health = copied / "gateway" / "server" / "health.py"
    old = health.read_text()
    health.write_text(old.replace('"status": "ok"', '"status": "the new text"'))
    assert health.read_text() != old


async def served(gateway: Gateway) -> set[str]:
    """What the workers say now."""
    answers = await asyncio.gather(
        *(fetch_json(f"{gateway.url}/healthz") for _ in range(4 * gateway.workers))
    )
    return {str(told.get("status")) for _, told in answers}


async def until_all_are_new(gateway: Gateway) -> None:
    async def are_new() -> bool:
        return await served(gateway) == {"the new text"}

    await until(are_new, 30, "every worker serves the new text")


def test_the_master_imports_its_configuration_and_nothing_else_of_the_package() -> None:
    code = (
        "import sys, gateway.server.gunicorn_conf, gateway.server.fresh_worker\n"
        "print(*(m for m in sys.modules if m.split('.')[0] in ('gateway', 'aiohttp', 'socketio', 'engineio')))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert set(ran.stdout.split()) == MASTERS_OWN


async def test_hup_brings_new_code_and_sessions_move_to_it(
    redis_url: str, copied: Path, connect: Opener, room: str
) -> None:
    async with Gateway(redis_url, workers=2, code=copied, GATEWAY_DRAIN_S="1") as gateway:
        member = await connect(gateway.url)
        await member.join("ann", room)
        change(copied)
        os.kill(gateway.master_pid, signal.SIGHUP)
        await until_all_are_new(gateway)
        await until(member.closed.is_set, what="the old worker has closed its session")
        again = await connect(gateway.url)
        assert (await again.join("ann", room))["ok"] is True


@pytest.mark.long
async def test_a_file_that_is_saved_is_served_at_once_with_the_reload_option(
    redis_url: str, copied: Path
) -> None:
    async with Gateway(
        redis_url, workers=2, code=copied, arguments=["--reload"], GATEWAY_DRAIN_S="60"
    ) as gateway:
        change(copied)
        await until_all_are_new(gateway)


@pytest.mark.long
async def test_usr2_brings_new_code_and_sessions_are_whole_while_two_masters_run(
    redis_url: str, copied: Path, connect: Opener, room: str
) -> None:
    """No GATEWAY_RUN_DIR: the second master must find the first one's folder."""
    async with Gateway(redis_url, workers=2, code=copied, GATEWAY_RUN_DIR="") as gateway:
        change(copied)
        os.kill(gateway.master_pid, signal.SIGUSR2)
        second = await _second_master(gateway)
        try:
            await _sessions_are_whole(gateway, connect, room)
            os.kill(gateway.master_pid, signal.SIGTERM)
            await until(lambda: not gateway.is_running(), 20, "the first master ends")
            await until_all_are_new(gateway)
            (folder,) = {Path(worker.environ()["GATEWAY_RUN_DIR"]) for worker in second.children()}
            assert folder.exists()
        finally:
            second.terminate()
            await until(lambda: not second.is_running(), 20, "the second master ends")
        assert not folder.exists(), "the last one removes the folder"


@pytest.mark.long
async def test_usr2_with_an_embedded_valkey_is_refused_by_a_line_and_harms_nothing(copied: Path) -> None:
    async with Gateway(None, workers=1, code=copied) as gateway:
        os.kill(gateway.master_pid, signal.SIGUSR2)
        await until(lambda: "second_master_refused" in gateway.log(), what="it is said")
        assert await gateway.is_ready()


async def _second_master(gateway: Gateway) -> psutil.Process:
    """The child of the first master that has two workers of its own."""

    def found() -> list[psutil.Process]:
        return [each for each in psutil.Process(gateway.master_pid).children() if len(each.children()) == 2]

    async def all_four_answer() -> bool:
        return bool(found()) and await served(gateway) == {"ok", "the new text"}

    await until(all_four_answer, 30, "workers of both masters answer")
    return found()[0]


async def _sessions_are_whole(gateway: Gateway, connect: Opener, room: str) -> None:
    """Sessions that poll: each request reaches any of the four workers."""
    members: list[Member] = [await connect(gateway.url, "polling") for _ in range(12)]
    for number, member in enumerate(members):
        assert (await member.join(f"user-{number}", room))["ok"] is True
    assert len({member.sid.partition(".")[0] for member in members}) > 1
