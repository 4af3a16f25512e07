"""The configuration file as all workers of one master read it: a copy of what was good when it was last read.

A file that is being edited must not end the gateway, and a worker that is started in between must not have other rules
than those beside it. So workers read the copy, in their folder, and the master takes a new one at its start and at HUP:

- at the start a file that cannot be meant stops it, with a sentence;
- at HUP it is refused, with the same sentence in the log: the new workers go on with the rules of before.

The master itself has nothing of the code that reads the file (`fresh_worker.py`): a fork of it does, with the code that
new workers will have. Imports nothing of the gateway but what the master has.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import select
import signal
from pathlib import Path
from typing import Any, NoReturn

from gateway.option_types import SettingsError
from gateway.server.fresh_worker import forget_package

READER = "gateway.server.rules"
"""The module that reads the file, in the fork."""

READ_WITHIN_S = 20.0
"""Longest wait for it: a disk that does not answer must not hold the master up, who looks after the workers."""

FAILED = "the configuration file could not be read: the code that reads it failed"


def copy_for(folder: str | Path, master_pid: int) -> Path:
    """Where the copy of a master's workers is. Two masters share a folder for a while (USR2)."""
    return Path(folder) / f"config-{master_pid}.toml"


def take(copy: Path, uid: int, gid: int) -> None:
    """Reads the configuration file, and makes it the workers' if it is good. Raises SettingsError."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _read_and_copy(copy, writing)
    os.close(writing)
    try:
        said = _all_of(reading)
    finally:
        os.close(reading)
        _end(child)
    if said != b"ok":
        raise SettingsError(said.decode(errors="replace") or FAILED)
    if os.geteuid() == 0:
        os.chown(copy, uid, gid)


def _read_and_copy(copy: Path, writing: int) -> NoReturn:
    """In the fork: says `ok`, or why not, and ends."""
    said = FAILED
    try:
        forget_package()
        reader: Any = importlib.import_module(READER)
        said = reader.copy(copy) or "ok"
    except BaseException as error:
        said = f"{FAILED}: {type(error).__name__}: {error}"
    finally:
        with contextlib.suppress(OSError):
            os.write(writing, said.encode(errors="replace")[: select.PIPE_BUF])
        os._exit(0)


def _all_of(reading: int) -> bytes:
    """What the fork said; nothing if it takes too long."""
    ready, _, _ = select.select([reading], [], [], READ_WITHIN_S)
    return os.read(reading, select.PIPE_BUF) if ready else b""


def _end(child: int) -> None:
    """The fork has nothing more to do. gunicorn may have waited for it already."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child, 0)
