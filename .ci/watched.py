"""Runs a command and sees to it that nothing it started outlives it: python3 .ci/watched.py COMMAND...

Owns every process that the command leaves behind, by being the parent of all orphans (Linux). What still runs 5 s after
the command's end is shown, killed, and makes the exit status a failure.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

GRACE_S = 5.0
"""How long what the command started may take to follow it."""
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def main(command: list[str]) -> int:
    """The exit status of the command, or 1 if it was 0 and something was left over."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    status = run(command)
    deadline_s = time.monotonic() + GRACE_S
    while list(orphans()) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    while left := list(orphans()):  # the children of what is killed come next
        kill(left)
        status = status or 1
    return status if status >= 0 else 128 - status


def run(command: list[str]) -> int:
    """Runs the command to its end, and buries the orphans that end meanwhile; its status as subprocess counts it."""
    process = subprocess.Popen(command)
    ended, how = os.wait()
    while ended != process.pid:
        ended, how = os.wait()
    process.returncode = os.waitstatus_to_exitcode(how)
    return process.returncode


def orphans() -> Iterator[tuple[int, str]]:
    """Process id and command line of each child that lives."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == os.getpid() and state != "Z":
                yield int(stat.parent.name), (stat.parent / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue  # it ended while it was read


def kill(left: list[tuple[int, str]]) -> None:
    """Shows and ends what is left over."""
    for pid, line in left:
        print("still running after the end:", pid, line)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
