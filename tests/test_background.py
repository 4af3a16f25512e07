"""No background task ends unseen: what is logged, counted, and when a worker is not ready any more."""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path

import pytest
import structlog

from gateway.background import Background, missing_loops
from gateway.metrics import background_failures
from gateway.server.health import Health

GATEWAY = Path(__file__).parents[1] / "gateway"
STARTERS = {"create_task", "ensure_future", "TaskGroup", "run_coroutine_threadsafe"}
NOT_BACKGROUND = {
    ("server/check.py", "create_task"): "awaited by the function that starts them",
    ("server/asking.py", "ensure_future"): "awaited by the function that starts it",
    ("redis/sentinel.py", "create_task"): "awaited by the function that starts them",
    ("client/chat.py", "create_task"): "awaited by `close`; no worker runs it",
    ("client/line.py", "create_task"): "awaited by `close`; no worker runs it",
    ("client/jobs.py", "create_task"): "awaited by `close`, which sees a fault; no worker runs it",
    ("transport/connection.py", "ensure_future"): "its end is handled by `_resume`: the connection closes",
}


@pytest.fixture(autouse=True)
def fresh_logger(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that keeps no shape of an earlier test, so that its lines can be captured."""
    monkeypatch.setattr("gateway.background.log", structlog.get_logger())


async def forever() -> None:
    await asyncio.Event().wait()


async def broken() -> None:
    raise ValueError("a fault")


async def at_once() -> None:
    pass


async def cancelled_from_inside() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


async def ended(background: Background) -> None:
    async with asyncio.timeout(10):
        while not background.is_idle:
            await asyncio.sleep(0)


@pytest.mark.parametrize("loop", [broken, at_once, cancelled_from_inside])
async def test_a_loop_that_ends_is_logged_counted_and_makes_the_worker_not_ready(loop: object) -> None:
    background, before = Background("test"), background_failures.value
    with structlog.testing.capture_logs() as lines:
        background.keep(loop(), "its name")  # type: ignore[operator]
        await ended(background)
    assert [(line["event"], line["task"], line["log_level"]) for line in lines] == [
        ("background_loop_ended", "its name", "error")
    ]
    assert background_failures.value == before + 1
    assert missing_loops() == ["its name"]
    assert "a background task has ended: its name" in Health("w").reasons()


async def test_a_job_that_fails_is_logged_and_counted_and_the_worker_stays_ready() -> None:
    background, before = Background("test"), background_failures.value
    with structlog.testing.capture_logs() as lines:
        background.run(broken(), "its name")
        background.run(at_once(), "another")
        background.run(cancelled_from_inside(), "a third")
        await ended(background)
    assert [(line["event"], line["task"]) for line in lines] == [("background_job_failed", "its name")]
    assert isinstance(lines[0]["exc_info"], ValueError)
    assert background_failures.value == before + 1
    assert missing_loops() == []


async def test_closing_ends_everything_without_a_word() -> None:
    background = Background("test")
    with structlog.testing.capture_logs() as lines:
        loop, job = background.keep(forever(), "loop"), background.run(forever(), "job")
        await asyncio.sleep(0)
        await background.close()
    assert loop.cancelled()
    assert job.cancelled()
    assert lines == []
    assert missing_loops() == []


async def test_finishing_waits_no_longer_than_allowed() -> None:
    background = Background("test")
    background.run(forever(), "job")
    await asyncio.wait_for(background.finish(0.01), 10)
    await background.close()
    await background.finish(10)


def test_nothing_in_the_package_starts_a_task_in_another_way() -> None:
    found = {
        (str(path.relative_to(GATEWAY)), node.func.attr)
        for path in GATEWAY.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in STARTERS
    }
    found = {each for each in found if each[0] != "background.py"}
    assert found == set(NOT_BACKGROUND)
