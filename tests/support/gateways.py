"""The built gateway as a test sees it from outside: real gunicorn, real workers, one port.

Owns the processes that it starts, in a process group of their own, and leaves none behind.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import psutil

from tests.support.ports import Port
from tests.support.waiting import until

REPOSITORY = Path(__file__).resolve().parents[2]
COMMAND = ("-m", "gunicorn", "-c", "python:gateway.server.gunicorn_conf", "gateway.server.app:create_app")
START_LIMIT_S = 60.0
DRAIN_S = "0.3"
"""Most tests leave their members connected at the end, and each stop takes so long then."""
STOP_MARGIN_S = 5.0


WITHOUT_LIMITS = {
    "GATEWAY_SENDS_PER_S": "0",
    "GATEWAY_READS_PER_S": "0",
    "GATEWAY_EVENTS_PER_S": "0",
    "GATEWAY_REFUSALS_MAX": "0",
}
"""Tests send, ask and are refused as fast as they can; those of the limits use `LIMITED`."""
LIMITED = dict.fromkeys(WITHOUT_LIMITS, "")
"""The environment of a gateway with the limits that it has by default: an empty variable counts as not set."""


class Gateway:
    """One gateway: `async with Gateway(redis_url, workers=4, GATEWAY_GRACE_S="1") as gateway:`.

    Entering waits until /readyz of every worker says 200; `wait=False` does not, for a gateway whose Redis
    is away. Leaving stops it. Its environment is given by name, or as a mapping, or both.
    """

    def __init__(
        self,
        redis_url: str | None,
        workers: int = 4,
        wait: bool = True,
        environment: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        code: Path = REPOSITORY,
        **more: str,
    ) -> None:
        """`arguments` are more options of gunicorn's; `code` is the folder that has the package."""
        self.redis_url, self.workers, self._wait = redis_url, workers, wait
        self._environment = {**(environment or {}), **more}
        self._command, self._code = (sys.executable, *COMMAND, *arguments), code
        self._port = Port()
        self._folder = Path(tempfile.mkdtemp(prefix="gw-"))
        self._log_path = self._folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """The one port of all workers."""
        return self._port.number

    @property
    def url(self) -> str:
        """`http://127.0.0.1:<port>`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def master_pid(self) -> int:
        """Process id of gunicorn's master."""
        assert self._process is not None, "the gateway was not started"
        return self._process.pid

    def worker_pids(self) -> list[int]:
        """Process ids of the workers that live now, oldest first."""
        try:
            children = psutil.Process(self.master_pid).children()
        except psutil.NoSuchProcess:
            return []
        return sorted(child.pid for child in children if _is_alive(child))

    def log(self) -> str:
        """All that the gateway wrote so far, standard error and output in one."""
        return self._log_path.read_text(errors="replace") if self._log_path.exists() else ""

    def is_running(self) -> bool:
        """Whether gunicorn's master lives."""
        return self._process is not None and self._process.poll() is None

    async def is_ready(self) -> bool:
        """Whether /readyz of the port says 200 now (one of the workers answers)."""
        return (await self.readiness())[0] == 200

    async def readiness(self) -> tuple[int, dict[str, Any]]:
        """Status and JSON of /readyz, on a connection of its own; (0, {}) when nobody answers within 5 s."""
        return await fetch_json(f"{self.url}{self._environment.get('GATEWAY_PATH_PREFIX', '')}/readyz")

    async def ready_workers(self) -> set[str]:
        """Names of some of the workers that are ready: the kernel picks who answers, so ask until all have."""
        answers = await asyncio.gather(*(self.readiness() for _ in range(2 * self.workers)))
        return {told["worker"] for status, told in answers if status == 200}

    async def worker_names(self, limit_s: float = 30.0) -> set[str]:
        """Names of all workers, as they call themselves in /readyz. Fails when not all are ready in time."""
        names: set[str] = set()

        async def all_answered() -> bool:
            names.update(await self.ready_workers())
            return len(names) >= self.workers or not self.is_running()

        await until(all_answered, limit_s, f"each of {self.workers} workers says on /readyz that it is ready")
        return names

    async def start(self) -> None:
        """Starts gunicorn and, unless told not to, waits until the gateway is ready."""
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._code,
                env=self._whole_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if self._wait:
            await self.until_ready()

    async def until_ready(self, limit_s: float = START_LIMIT_S) -> None:
        """Waits until each worker has answered /readyz with 200; shows the log when that does not come."""
        try:
            await self.worker_names(limit_s)
        except AssertionError as late:
            raise AssertionError(f"{late}\n{self.log()}") from late
        assert self.is_running(), (
            f"gunicorn ended with {self._process and self._process.returncode}\n{self.log()}"
        )

    async def stop(self) -> None:
        """SIGTERM, as long as the drain may take; then SIGKILL for whatever of the process group is left."""
        if self._process is None:
            return
        process, limit_s = self._process, self._drain_s + STOP_MARGIN_S
        if process.poll() is None:
            process.terminate()
            try:
                await until(lambda: process.poll() is not None, limit_s, "gunicorn ends after SIGTERM")
            except AssertionError:
                pass  # what is left is killed below
        self.kill()

    def kill(self) -> None:
        """SIGKILL for the whole process group, master and workers."""
        if self._process is None:
            return
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # all of them had ended
        self._process.wait(timeout=STOP_MARGIN_S)

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            self.kill()
            self._clean()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.stop()
        finally:
            self._clean()

    def _clean(self) -> None:
        self._port.release()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _drain_s(self) -> float:
        return float(self._environment.get("GATEWAY_DRAIN_S", DRAIN_S))

    def _whole_environment(self) -> dict[str, str]:
        ours = ("PORT", "REDIS_URL", "WEB_CONCURRENCY")
        kept = {
            k: v
            for k, v in os.environ.items()
            if k not in ours and not k.startswith(("GATEWAY_", "GUNICORN_"))
        }
        chosen = {
            "PORT": str(self.port),
            "WEB_CONCURRENCY": str(self.workers),
            "GATEWAY_HOST": "127.0.0.1",
            "GATEWAY_RUN_DIR": str(self._folder / "run"),
            "GATEWAY_STATE_DIR": str(self._folder / "state"),
            "GATEWAY_DRAIN_S": DRAIN_S,
            "PYTHONUNBUFFERED": "1",
            **WITHOUT_LIMITS,
        }
        redis = {} if self.redis_url is None else {"REDIS_URL": self.redis_url}
        return {**kept, **chosen, **redis, **self._environment}


async def fetch_json(url: str, limit_s: float = 5.0) -> tuple[int, dict[str, Any]]:
    """Status and JSON object of a GET on a fresh connection; (0, {}) when nobody answers in time."""
    timeout = aiohttp.ClientTimeout(total=limit_s)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
            return response.status, await response.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return 0, {}


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
