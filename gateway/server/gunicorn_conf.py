"""gunicorn's configuration: `gunicorn -c python:gateway.server.gunicorn_conf gateway.server.app:create_app`.

Owns what the master holds for all its workers: the embedded Valkey when no REDIS_URL is set, and the private folder of
the workers' Unix sockets.

- Both are made before the first worker, and handed to the workers by the environment.
- Both are undone after the last worker: by `on_exit`, or at the interpreter's end where gunicorn leaves without calling
  it (a port in use).
- Ctrl-C reaches the master and the workers at once, and not the embedded Valkey. The master waits for its workers and
  then stops Valkey.

Options on gunicorn's command line win over the ones here. Never serves anything itself.
"""

from __future__ import annotations

import atexit
import math
import os
import shutil
import signal
import stat
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from gateway.option_types import SettingsError
from gateway.server import logs
from gateway.server.embedded import EmbeddedError, EmbeddedValkey, state_folder
from gateway.settings import EmbeddedOptions, Settings, variable_of

SOCKET_FOLDER_MAX = 70
"""Longest path of the workers' folder in bytes; a Unix socket's has room for 103 (macOS) or 107 (Linux)."""
TEMPORARY_MAX = SOCKET_FOLDER_MAX - len("/gateway-12345678")
"""Longest path of the folder in which a new one is made."""

# Until there is something to undo, Ctrl-C just ends the process; `gateway serve` has held it back for this moment.
signal.signal(signal.SIGINT, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

_settings = Settings.from_environment()
logs.configure(_settings.log)
_log = logs.get_logger(__name__)
_held = ExitStack()


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


bind = [_address(_settings.server.host, _settings.server.port)]
workers = _settings.server.workers
worker_class = "gateway.server.worker.GatewayWorker"
worker_tmp_dir = (
    "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
)  # heartbeats must never wait for a disk
timeout = 30
graceful_timeout = math.ceil(_settings.server.drain_s + 10)
keepalive = 75  # above the 60 s for which proxies keep idle connections, so that they close first
proc_name = "chat-gateway"
default_proc_name = proc_name
control_socket_disable = True  # it would leave a socket in the user's home folder
loglevel = _settings.log.level
logger_class = logs.GunicornLogger


def on_starting(server: Any) -> None:
    """Makes what the workers share. Ends the start with a plain sentence when that is not possible."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    atexit.register(_release, os.getpid())
    try:
        settings = Settings.from_environment()
        if settings.redis.url is None:
            os.environ[variable_of("redis.url")] = _start_valkey(settings.embedded)
        os.environ[variable_of("server.run_dir")] = str(
            _run_folder(settings.server.run_dir, server.cfg.uid, server.cfg.gid)
        )
    except (EmbeddedError, SettingsError) as error:
        sys.exit(f"Error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def when_ready(server: Any) -> None:
    """Says where the gateway listens and what to try next."""
    print(greeting([str(listener) for listener in server.LISTENERS], server.num_workers), flush=True)


def post_fork(server: Any, worker: Any) -> None:
    """Lets a worker that has nothing to lose yet end by a signal.

    Until the worker has handlers of its own it has the master's, which put a signal into a queue: the worker's copy of
    that queue, which nobody reads. The master would wait for such a worker until its graceful timeout.
    """
    ends = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)
    for each in ends:
        signal.signal(each, signal.SIG_DFL)
    while not server.SIG_QUEUE.empty():
        if server.SIG_QUEUE.get_nowait() in ends:
            sys.exit(0)


def on_exit(server: Any) -> None:
    """Undoes `on_starting`; all workers have gone by now."""
    _held.close()


def greeting(addresses: list[str], worker_count: int) -> str:
    """The few lines for the person who started the gateway; `addresses` as gunicorn writes them."""
    shown = [
        address.replace("//0.0.0.0:", "//localhost:").replace("//[::]:", "//localhost:")
        for address in addresses
    ]
    page = next((address for address in shown if address.startswith("http")), "http://localhost:8006")
    return "\n".join(
        (
            f"The chat gateway listens at {', '.join(shown)} ({worker_count} workers). Ctrl-C stops it.",
            f"Try it: open {page}/healthz in a browser and paste into its console (F12):",
            "  const { io } = await import('https://cdn.socket.io/4.8.1/socket.io.esm.min.js');",
            "  const chat = io(); chat.onAny(console.log);",
            "  chat.emit('join', { username: 'me', room: 'lobby' });",
            "  chat.emit('send', { username: 'me', room: 'lobby', message: 'Hello' });",
            "`gateway check` tells what it sees of Redis and of the workers.",
        )
    )


def _release(master_pid: int) -> None:
    """At the end of the interpreter: workers inherit this call and must not follow it."""
    if os.getpid() == master_pid:
        _held.close()


def _start_valkey(options: EmbeddedOptions) -> str:
    valkey = EmbeddedValkey.start(state_folder(options.state_dir), options.port)
    _held.callback(_stop_valkey, valkey)
    _log.info(
        "embedded_valkey_started",
        why="no REDIS_URL set",
        url=valkey.url,
        keeps_its_data_in=str(valkey.folder),
        valkey_pid=valkey.pid,
    )
    return valkey.url


def _stop_valkey(valkey: EmbeddedValkey) -> None:
    valkey.stop()
    _log.info("embedded_valkey_stopped", keeps_its_data_in=str(valkey.folder))


def _run_folder(given: str | None, uid: int, gid: int) -> Path:
    """The folder of the workers' sockets: private, short, and theirs when gunicorn gives up root for them."""
    folder = _given_folder(given) if given else _new_folder()
    if len(os.fsencode(folder.absolute())) > SOCKET_FOLDER_MAX:
        raise SettingsError(
            f"GATEWAY_RUN_DIR={given!r} is not allowed: at most {SOCKET_FOLDER_MAX} bytes long"
        )
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        raise SettingsError(f"GATEWAY_RUN_DIR={given!r} is not allowed: a private folder (mode 0700)")
    if os.geteuid() == 0:
        os.chown(folder, uid, gid)
    return folder


def _given_folder(given: str) -> Path:
    folder = Path(given)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"GATEWAY_RUN_DIR={given!r} cannot be made: {error.strerror}") from error
    return folder


def _new_folder() -> Path:
    """A folder of this gateway's own, removed at its end."""
    around = tempfile.gettempdir()
    folder = Path(
        tempfile.mkdtemp(
            prefix="gateway-", dir=around if len(os.fsencode(around)) <= TEMPORARY_MAX else "/tmp"
        )
    )
    _held.callback(shutil.rmtree, folder, ignore_errors=True)
    return folder
