"""New code is tried before it replaces what serves.

gunicorn ends the whole gateway when one worker cannot start. That is right at the first start, where nobody is served
yet, and wrong later: a broken release that was rolled out by a reload, or that a worker met which had to be started
again, would take the service from those whom the other workers serve.

Owns what the master does then, in place of three of gunicorn's functions:

- A reload tries the new code first, in a process of its own that does what a worker does before it serves: it imports
  the gateway and builds the application. If that fails, the reload is refused, and the old workers serve on.
- A worker that cannot start ends nothing while others serve. The next one is started once such a trial passes; trials
  come at growing intervals.

Runs in the master, so it imports nothing that a new version would have to replace.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import tempfile
import time
import traceback
from typing import IO, Any

from gunicorn import util
from gunicorn.errors import HaltServer

from gateway.pauses import Backoff
from gateway.server.fresh_worker import REAL, forget_package
from gateway.server.logs import get_logger

log = get_logger("gateway.rollout")

TRIAL_S = 20.0
"""Longest trial; an import takes about a second."""

BETWEEN_TRIALS = Backoff(first_s=1.0, most_s=30.0)
BETWEEN_TRIALS_WITH_RELOAD = Backoff(first_s=1.0, most_s=2.0)
"""With `--reload` somebody is about to save the file again."""

FORGET_S = 120.0
"""A worker that could not start counts as the first one again if the last such one was so long ago."""


def failure_of_new_code(app_uri: str) -> str | None:
    """The traceback of a worker that would be started now; None for one that would come to serve. Waits for at most
    `TRIAL_S`."""
    with tempfile.TemporaryFile("w+") as told:
        pid = os.fork()
        if pid == 0:
            _try(app_uri, told)
        status = _end_of(pid)
        told.seek(0)
        return None if status == 0 else told.read() or _how_it_ended(status)


def _try(app_uri: str, told: IO[str]) -> None:
    """In the child; ends it."""
    status = 1
    try:
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP):
            signal.signal(each, signal.SIG_DFL)
        forget_package()
        importlib.import_module(REAL)
        asyncio.run(util.import_app(app_uri)())
        status = 0
    except BaseException:
        told.write(traceback.format_exc())
        told.flush()
    finally:
        os._exit(status)  # nothing of the master's is to be undone here


def _how_it_ended(status: int) -> str:
    """Of a child that said nothing."""
    if os.WIFSIGNALED(status):
        return f"It was ended by signal {os.WTERMSIG(status)}, after at most {TRIAL_S:g} s."
    return f"It ended with status {os.WEXITSTATUS(status)} while it was being imported."


def _end_of(pid: int) -> int:
    """Exit status of the child; it is killed when it takes too long."""
    until_s = time.monotonic() + TRIAL_S
    while time.monotonic() < until_s:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


class Rollout:
    """One master's care that a worker that cannot start costs nobody the service."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._usual_reload, self._usual_reap = server.reload, server.reap_workers
        self._usual_manage = server.manage_workers
        self._backoff = BETWEEN_TRIALS_WITH_RELOAD if server.cfg.reload else BETWEEN_TRIALS
        self._has_served = False  # some worker has come to serve since the start
        self._is_held = False  # no worker is started before a trial has passed
        self._failures = 0  # workers and trials in a row that failed
        self._failed_s = self._next_trial_s = 0.0
        self._told = ""  # the failure that the log has

    def begin(self) -> None:
        """Takes the place of gunicorn's functions."""
        self._server.reload = self.reload
        self._server.reap_workers = self.reap_workers
        self._server.manage_workers = self.manage_workers

    def reload(self) -> None:
        """HUP: replaces the workers, unless the new code cannot be started."""
        failure = failure_of_new_code(self._server.app.app_uri)
        if failure is not None:
            self._tell("reload_refused", failure, "the workers that serve go on with the old code")
            return
        self._is_held, self._failures, self._told = False, 0, ""
        self._usual_reload()

    def reap_workers(self) -> None:
        """A child has ended. Ends the gateway, by HaltServer, only if that leaves nobody who serves."""
        while True:
            try:
                self._usual_reap()
                return
            except HaltServer:
                if not self._goes_on():
                    raise
                self._hold_back()

    def manage_workers(self) -> None:
        """Each second: starts workers that are missing, or ends those that are too many."""
        self._goes_on()
        is_short = len(self._server.WORKERS) < self._server.num_workers
        if not (is_short and self._is_held and self._is_still_broken()):
            self._usual_manage()

    def _goes_on(self) -> bool:
        """Whether there is somebody to keep the gateway for: a worker that has given a sign of life; or, with
        `--reload`, one that once had.

        A sign of life sets the time of a worker's file to the monotonic clock's; before the first one it has the time
        of day, which is later (gunicorn's `WorkerTmp`).
        """
        now_s = time.monotonic()
        is_served = any(worker.tmp.last_update() <= now_s for worker in self._server.WORKERS.values())
        self._has_served = self._has_served or is_served
        return is_served or (self._has_served and bool(self._server.cfg.reload))

    def _hold_back(self) -> None:
        now_s = time.monotonic()
        if now_s - self._failed_s > FORGET_S:
            self._failures = 0
        pause_s = self._backoff.pause_s(self._failures)
        self._is_held, self._failed_s, self._next_trial_s = True, now_s, now_s + pause_s
        self._failures += 1
        log.error("worker_not_started", what_helps="mend or reinstall the code", next_trial_in_s=pause_s)

    def _is_still_broken(self) -> bool:
        """Tries the code, when it is time to."""
        now_s = time.monotonic()
        if now_s < self._next_trial_s:
            return True
        failure = failure_of_new_code(self._server.app.app_uri)
        if failure is None:
            self._is_held, self._told = False, ""
            return False
        self._failed_s = time.monotonic()
        self._next_trial_s = self._failed_s + self._backoff.pause_s(self._failures)
        self._failures += 1
        self._tell("worker_not_started", failure, "the other workers serve on")
        return True

    def _tell(self, event: str, failure: str, meanwhile: str) -> None:
        """Logs a failure, with its traceback; one that the log has already only when somebody asked, by a reload."""
        why = failure.strip().splitlines()[-1]
        if failure == self._told and event != "reload_refused":
            return
        self._told = failure
        log.error(event, why=why, meanwhile=meanwhile, traceback=failure)
