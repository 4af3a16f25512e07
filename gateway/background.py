"""The one way to start a task that nobody awaits: its end is seen.

Two kinds of tasks:

- A loop lasts as long as its owner (`keep`). When it ends before, by an error, by returning, or because something that
  it awaited was cancelled, this worker lacks a part for good: it is logged, counted, and the worker is not ready.
- A job ends by itself (`run`). When it fails, that is logged and counted.

Example: the loop that accepts handed-over connections dies. Without this module all of these would wait for ever, at a
worker that says it is ready, without a line in the log.

Owns the tasks until they end, so that none is collected while it runs. Never starts one again: what may fail and pass
is for the task itself to catch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import structlog

from gateway.metrics import background_failures

log = structlog.get_logger("gateway.background")

Result = TypeVar("Result")

_missing: WeakKeyDictionary[asyncio.AbstractEventLoop, list[str]] = WeakKeyDictionary()
"""The loops that have ended, by event loop: a worker has one."""


class Background:
    """The background tasks of one owner; ended by `close`."""

    def __init__(self, owner: str) -> None:
        """`owner` is for the log: who started the tasks."""
        self._owner = owner
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def is_idle(self) -> bool:
        """Whether no task runs."""
        return not self._tasks

    def keep(self, loop: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Runs a loop that must not end before `close`."""
        return self.watch(asyncio.create_task(loop), name)

    def watch(self, task: asyncio.Task[None], name: str) -> asyncio.Task[None]:
        """The same for a loop that a library has started."""
        self._tasks.add(task)
        task.add_done_callback(lambda ended: self._loop_ended(ended, name))
        return task

    def run(self, job: Coroutine[Any, Any, Result], name: str) -> asyncio.Task[Result]:
        """Runs a job that ends by itself."""
        task = asyncio.create_task(job)
        self._tasks.add(task)
        task.add_done_callback(lambda ended: self._job_ended(ended, name))
        return task

    async def finish(self, limit_s: float) -> None:
        """Waits up to `limit_s` for the jobs that run."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=limit_s)

    async def close(self) -> None:
        """Cancels the tasks and waits for their end."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _loop_ended(self, task: asyncio.Task[None], name: str) -> None:
        self._tasks.discard(task)
        if task.cancelling():  # somebody asked for its end
            return
        _missing.setdefault(task.get_loop(), []).append(name)
        self._report(None if task.cancelled() else task.exception(), name, "background_loop_ended")

    def _job_ended(self, task: asyncio.Task[Any], name: str) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._report(error, name, "background_job_failed")

    def _report(self, error: BaseException | None, name: str, event: str) -> None:
        background_failures.add(1)
        log.error(event, task=name, owner=self._owner, exc_info=error)


def missing_loops() -> list[str]:
    """The loops of this worker that have ended and should not have; empty as it should be."""
    return _missing.get(asyncio.get_running_loop(), [])
