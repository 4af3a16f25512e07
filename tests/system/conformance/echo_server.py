"""`echo_app` as a process of its own, alone on a port or as several workers behind HAProxy.

Owns the processes that it starts and leaves none behind.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.binaries import program
from tests.support.gateways import REPOSITORY
from tests.support.ports import Port

START_LIMIT_S = 30.0
STOP_LIMIT_S = 10.0

_BALANCER = """
global
    maxconn 1000
defaults
    mode http
    option abortonclose
    timeout connect 2s
    timeout client 30s
    timeout server 30s
    timeout tunnel 60s
frontend conformance
    bind 127.0.0.1:{front}
    default_backend workers
backend workers
    server workers 127.0.0.1:{back}
"""


class EchoServer:
    """A running echo app: where it listens, what it wrote, whether it lives."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, protocol: str, log_path: Path) -> None:
        self._process, self._log_path = process, log_path
        self.port, self.path = port, f"/{protocol}/"

    @property
    def address(self) -> str:
        """The engine's URL, with its path."""
        return f"{self.url}{self.path}"

    @property
    def url(self) -> str:
        """`http://127.0.0.1:<port>`."""
        return f"http://127.0.0.1:{self.port}"

    def log(self) -> str:
        """All that was written so far to standard error."""
        return self._log_path.read_text(errors="replace")

    def is_running(self) -> bool:
        """Whether the process that was started lives."""
        return self._process.poll() is None


@contextmanager
def echo_server(protocol: str, *options: str) -> Iterator[EchoServer]:
    """Runs `python -m tests.system.conformance.echo_app` on a port from the kernel until the block ends."""
    with tempfile.TemporaryDirectory(prefix="echo-") as folder:
        log_path = Path(folder) / "log"
        with log_path.open("wb") as log:
            command = [
                sys.executable,
                "-m",
                "tests.system.conformance.echo_app",
                "--port",
                "0",
                "--protocol",
                protocol,
                "--with-parent",
                *options,
            ]
            process = subprocess.Popen(
                command,
                cwd=REPOSITORY,
                env={**os.environ, "TMPDIR": folder},  # so that nothing of it is left
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield EchoServer(process, _announced_port(process, log_path), protocol, log_path)
        finally:
            _stop(process)


@contextmanager
def balanced_echo_server(protocol: str, workers: int, *options: str) -> Iterator[EchoServer]:
    """The same as `workers` processes on one port, behind an HAProxy that knows nothing of sessions."""
    haproxy, front = program("haproxy"), Port()
    with (
        echo_server(protocol, "--workers", str(workers), *options) as behind,
        tempfile.TemporaryDirectory() as folder,
    ):
        recipe = Path(folder) / "haproxy.cfg"
        recipe.write_text(_BALANCER.format(front=front.number, back=behind.port))
        process = subprocess.Popen([haproxy, "-q", "-db", "-f", str(recipe)], start_new_session=True)
        try:
            _await_port(front.number)
            yield EchoServer(behind._process, front.number, protocol, behind._log_path)
        finally:
            _stop(process)
            front.release()


def _announced_port(process: subprocess.Popen[bytes], log_path: Path) -> int:
    """Reads the app's one line, `listening on <port>`, which it writes when it accepts connections."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], START_LIMIT_S)
    line = process.stdout.readline().decode() if ready else ""
    assert line.startswith("listening on "), f"the echo app did not start: {line!r}\n{log_path.read_text()}"
    return int(line.split()[-1])


def _await_port(port: int) -> None:
    """Returns when somebody accepts connections on the port."""
    deadline_s = time.monotonic() + START_LIMIT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=START_LIMIT_S).close()
            return
        except ConnectionRefusedError:
            assert time.monotonic() < deadline_s, f"nobody listens on {port}"
            time.sleep(0.02)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL for the whole process group: nothing here is asked to end well."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(STOP_LIMIT_S)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
