"""Notes, in every Python process of the environment that the fast build is tested in, which build that process loads.

`test.py` puts this beside the installed packages, and a `.pth` file that imports it when Python starts. So the
processes that tests start are seen too: gunicorn's workers, commands, programs of the documentation. A gateway that
runs the sources would pass every test and prove nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

NOTES = "FAST_BUILD_NOTES"
"""The variable that names the file of the notes; nothing is watched without it."""
WATCHED = ("gateway.protocol", "gateway.rooms._send")
"""The first is loaded by everything that serves or commands; the second is the C loop. A compiled module loads others
of its kind without asking a finder: a process notes one of the two, or both."""


class Watch:
    """A finder of modules that finds none: it notes what the next one will find."""

    def __init__(self, notes: str) -> None:
        self._notes = notes

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Called at each import; a note is one write, so that those of many processes do not mix."""
        if name in WATCHED:
            found = PathFinder.find_spec(name, path, target)
            origin = found.origin if found is not None else "nowhere"
            with open(self._notes, "a") as notes:
                notes.write(f"{os.getpid()}\t{name}\t{origin}\t{' '.join(sys.orig_argv)[:300]!r}\n")
        return None


if notes := os.environ.get(NOTES):
    sys.meta_path.insert(0, Watch(notes))
