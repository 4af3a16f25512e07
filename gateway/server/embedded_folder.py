"""The state folder of the embedded Valkey: whose it is, who holds it, and the password of its server.

- Private: a folder that others can read is refused, as the workers' folder is. It holds messages and the password.
- One gateway at a time: the server holds a lock on the folder for as long as it lives.
- The password keeps other users of the host out. It is made once for a folder, and stays.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
import time
from pathlib import Path
from typing import NamedTuple

import platformdirs

LOCK_LIMIT_S = 3.0
"""How long a server that is just stopping may hold the folder."""
PAUSE_S = 0.02
"""Time between two looks while waiting: a start takes about 50 ms."""


class EmbeddedError(Exception):
    """The embedded Valkey cannot run; the text says why and what to do."""


def state_folder(given: str | None) -> Path:
    """The folder of the append-only file: the given one, else `chat-gateway` in the user's state folder."""
    return Path(given) if given else Path(platformdirs.user_state_dir("chat-gateway", appauthor=False))


def running_url(folder: Path) -> str | None:
    """The URL of the server that holds the folder now; None when there is none, or none that this user may reach."""
    try:
        lock = os.open(folder / "lock", os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        holder = _holder(lock)
        return url_of(holder.port, password_of(folder)) if holder is not None else None
    finally:
        os.close(lock)


def url_of(port: int, password: str) -> str:
    """The URL of a server on loopback."""
    return f"redis://:{password}@127.0.0.1:{port}/0" if password else f"redis://127.0.0.1:{port}/0"


def password_of(folder: Path) -> str:
    """The password of the folder's server, made when there is none yet."""
    file = folder / "password"
    if not file.exists():
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as written:
            written.write(secrets.token_urlsafe(24))
    return file.read_text().strip()


def lock_folder(folder: Path, limit_s: float = LOCK_LIMIT_S) -> int:
    """A descriptor that holds the folder; waits a little for a server that is on its way out. Raises EmbeddedError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_open(folder)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise EmbeddedError(
            f"The embedded Valkey cannot write to {folder} ({error.strerror}): "
            "set GATEWAY_STATE_DIR or REDIS_URL."
        ) from error
    if not _is_locked_within(lock, limit_s):
        holder = _holder(lock)
        os.close(lock)
        raise EmbeddedError(
            f"Another gateway keeps its data in {folder} ({holder or 'just starting'}): "
            "stop it, or give this one its own GATEWAY_STATE_DIR, or set REDIS_URL for both."
        )
    os.ftruncate(lock, 0)
    return lock


def describe(lock: int, pid: int, port: int) -> None:
    """Writes into the lock file who holds the folder."""
    os.pwrite(lock, f"{os.getpid()} {pid} {port}\n".encode(), 0)


def _refuse_open(folder: Path) -> None:
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        raise EmbeddedError(
            f"Others can read {folder}, and the embedded Valkey keeps messages there: "
            f"chmod 700 {folder}, or set GATEWAY_STATE_DIR or REDIS_URL."
        )


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
            time.sleep(PAUSE_S)


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
