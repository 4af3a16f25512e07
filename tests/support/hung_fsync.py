"""A disk that hangs: the thread in which a Valkey syncs its append-only file is stopped, and nothing else of it.

Owns the stopped thread from beginning to end; the server serves on meanwhile. It is done as a debugger does it
(ptrace), so that no program, no compiler and no special file system is needed. Linux, by the parent of the server.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_SYNCING_THREAD = "bio_aof"
"""Valkey's and Redis' name of the thread that syncs the append-only file (bio.c)."""
_PTRACE_DETACH, _PTRACE_SEIZE, _PTRACE_INTERRUPT = 17, 0x4206, 0x4207  # linux/ptrace.h
_WALL = 0x40000000  # linux/wait.h: waits for a thread, too


@contextmanager
def hung_fsync(pid: int) -> Iterator[None]:
    """While it is open, no fsync of the append-only file ends. The server may be killed meanwhile.

    Must be entered and left in one thread, without a pause for that in between: the kernel knows the debugger by it.
    """
    thread = _syncing_thread(pid)
    _ptrace(_PTRACE_SEIZE, thread)
    try:
        _ptrace(_PTRACE_INTERRUPT, thread)
        os.waitpid(thread, _WALL)  # it stands still
        yield
    finally:
        _let_go(thread)


def _syncing_thread(pid: int) -> int:
    for task in Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().strip() == _SYNCING_THREAD:
            return int(task.name)
    raise AssertionError(f"the server {pid} has no thread {_SYNCING_THREAD}")


def _let_go(thread: int) -> None:
    """It goes on; or, if it was killed, it is buried here: before that its process does not end."""
    try:
        _ptrace(_PTRACE_DETACH, thread)
    except ProcessLookupError:
        os.waitpid(thread, _WALL)


def _ptrace(request: int, thread: int) -> None:
    """Raises OSError; skips the test where the system lets nobody debug."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
    libc.ptrace.restype = ctypes.c_long
    if libc.ptrace(request, thread, None, None) == -1:
        number = ctypes.get_errno()
        if number in (errno.EPERM, errno.ENOSYS):
            pytest.skip(f"this system lets no thread be stopped by ptrace: {os.strerror(number)}")
        raise OSError(number, os.strerror(number))
