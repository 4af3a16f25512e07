"""Which number of the host's workers this one has: the label `worker` of its metrics.

A number is the lowest that no living worker has, held by a lock on the file `slot-<n>` of the run folder; the lock ends
with the process, however that ends. So a worker that is started in place of a dead one has its number again, and the
series of a host are the same for ever.

HUP and USR2: the new workers live beside the old ones for a while, so they get the next numbers: with four workers 4 to
7, and after the next HUP 0 to 3 again. A draining worker keeps its number, and is counted, until it ends.

The file holds the id of the worker that has, or last had, the number.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import NamedTuple

SLOTS_MAX = 1024
"""More workers than a host has; who finds none free is told so."""

NAME_BYTES = 128
"""Longer than a worker's id."""


class Slot(NamedTuple):
    """A number, and the open file whose lock holds it."""

    number: int
    descriptor: int

    def leave(self) -> None:
        """Somebody else may have the number."""
        os.close(self.descriptor)


def take(folder: Path, worker: str) -> Slot:
    """Takes the lowest free number. Raises OSError if the folder cannot be used, or none is free."""
    for number in range(SLOTS_MAX):
        descriptor = os.open(_path(folder, number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        os.ftruncate(descriptor, 0)
        os.write(descriptor, worker.encode())
        return Slot(number, descriptor)
    raise OSError(f"{SLOTS_MAX} workers in {folder}")


def holders(folder: Path) -> dict[int, str]:
    """Each number that was ever taken, with the worker that took it last; it may be gone."""
    found = {}
    for path in folder.glob("slot-*"):
        number = path.name.removeprefix("slot-")
        if number.isdigit():
            found[int(number)] = _read(path)
    return dict(sorted(found.items()))


def _path(folder: Path, number: int) -> Path:
    return folder / f"slot-{number}"


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(NAME_BYTES).decode("ascii", "replace")
    except OSError:
        return ""
