"""A reload brings new code: a module's text is changed, and the new text is served."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.clients import Member
from tests.support.gateways import REPOSITORY, Gateway, fetch_json
from tests.support.opener import Opener
from tests.support.waiting import stays, until

MASTERS_OWN = {
    "gateway", "gateway.server", "gateway.admin_ui_options", "gateway.api_options", "gateway.api_key_options",
    "gateway.cpus", "gateway.client_bundle_options", "gateway.identity_options", "gateway.limit_options",
    "gateway.option_groups", "gateway.option_pairs", "gateway.option_types", "gateway.page_options", "gateway.pauses",
    "gateway.redis_url", "gateway.send_hook_options", "gateway.settings", "gateway.tracing_options",
    "gateway.unknown_options", "gateway.webhook_options",
} | {
    f"gateway.server.{name}"
    for name in (
        "api_listener", "config_copy", "development_secret", "embedded", "embedded_folder", "fresh_worker", "greeting",
        "gunicorn_conf", "log_lines", "logs", "refusals", "rollout", "run_folder", "start_check",
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


BROKEN = {
    "a module cannot be read": ("health.py", "def healthz(", "def healthz((", "SyntaxError"),
    "a name is not there": ("app.py", "import Readiness", "import NoSuchThing", "NoSuchThing"),
    "the application cannot be built": (
        "app.py",
        "process.configure(settings)",
        "1 / 0",
        "ZeroDivisionError",
    ),
    "the worker's own module cannot be imported": ("worker.py", "import gc\n", "import gcc\n", "gcc"),
    "importing ends the process": ("drain.py", "import asyncio\n", "import os; os._exit(3)\n", "status 3"),
}
"""Ways in which a release can be broken: the file, its text, the new text, and what the log says."""


def spoil(copied: Path, how: str) -> Callable[[], None]:
    """Breaks the package; what is returned mends it."""
    name, old, new, _ = BROKEN[how]
    path = copied / "gateway" / "server" / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return lambda: _write(path, text)


def _write(path: Path, text: str) -> None:
    path.write_text(text)


async def test_hup_brings_new_code_and_sessions_move_to_it_unless_it_cannot_start(
    redis_url: str, copied: Path, connect: Opener, room: str
) -> None:
    async with Gateway(redis_url, workers=2, code=copied, GATEWAY_DRAIN_S="1") as gateway:
        member = await connect(gateway.url)
        await member.join("ann", room)
        await a_broken_reload_is_refused(gateway, copied, "a module cannot be read", member, room)
        change(copied)
        os.kill(gateway.master_pid, signal.SIGHUP)
        await until_all_are_new(gateway)
        await until(member.closed.is_set, what="the old worker has closed its session")
        again = await connect(gateway.url)
        assert (await again.join("ann", room))["ok"] is True


@pytest.mark.long
@pytest.mark.parametrize("how", BROKEN)
async def test_a_reload_of_what_cannot_start_is_refused(
    redis_url: str, copied: Path, connect: Opener, room: str, how: str
) -> None:
    async with Gateway(redis_url, workers=2, code=copied) as gateway:
        member = await connect(gateway.url)
        await member.join("ann", room)
        await a_broken_reload_is_refused(gateway, copied, how, member, room)


async def a_broken_reload_is_refused(
    gateway: Gateway, copied: Path, how: str, member: Member, room: str
) -> None:
    """The old workers serve on, and the log says why, once. The code is mended afterwards."""
    workers, mend = gateway.worker_pids(), spoil(copied, how)
    os.kill(gateway.master_pid, signal.SIGHUP)
    await until(lambda: "reload_refused" in gateway.log(), 30, "the reload is refused")
    assert (await member.send(room, "still here"))["ok"] is True
    assert gateway.worker_pids() == workers
    (line,) = [line for line in gateway.log().splitlines() if "reload_refused" in line]
    assert BROKEN[how][3] in json.loads(line)["why"]
    assert gateway.log().count("Traceback") <= 1, "in that line, and in no other"
    mend()


@pytest.mark.long
async def test_a_worker_that_cannot_start_ends_nothing_while_another_serves(
    redis_url: str, copied: Path, connect: Opener, room: str
) -> None:
    """A broken release lies on the disk, nobody has reloaded, and a worker dies."""
    async with Gateway(redis_url, workers=2, code=copied) as gateway:
        first, other = gateway.worker_pids()
        mend = spoil(copied, "a module cannot be read")
        os.kill(first, signal.SIGKILL)
        await until(
            lambda: gateway.log().count("worker_not_started") == 2, 30, "a worker, then a trial, failed"
        )
        await stays(lambda: gateway.is_running() and other in gateway.worker_pids(), 5, "the other goes on")
        assert gateway.log().count("worker_not_started") == 2, "the same failure is not logged again"
        assert (await (await connect(gateway.url)).join("ann", room))["ok"] is True
        mend()
        await until(lambda: len(gateway.worker_pids()) == 2, 40, "the missing worker is started")
        await gateway.worker_names()


@pytest.mark.long
async def test_a_first_start_of_what_cannot_start_ends_the_gateway(redis_url: str, copied: Path) -> None:
    spoil(copied, "a module cannot be read")
    async with Gateway(redis_url, workers=2, code=copied, wait=False) as gateway:
        await until(lambda: not gateway.is_running(), 30, "the gateway ends")
        assert "Worker failed to boot" in gateway.log()


@pytest.mark.long
async def test_a_file_that_is_saved_with_an_error_is_waited_for_with_the_reload_option(
    redis_url: str, copied: Path
) -> None:
    async with Gateway(redis_url, workers=2, code=copied, arguments=["--reload"]) as gateway:
        mend = spoil(copied, "a module cannot be read")
        await until(
            lambda: gateway.log().count("worker_not_started") >= 3, 30, "both workers, then a trial, failed"
        )
        assert gateway.is_running()
        mend()
        change(copied)
        await until_all_are_new(gateway)


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
