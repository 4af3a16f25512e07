"""A command on a terminal of its own: a pseudo-terminal of a given size, with keys that a test presses."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.support.waiting import until

LIMIT_S = 20.0
CTRL_C, CTRL_Z = b"\x03", b"\x1a"
HOME = "\x1b[H"
_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """What a command has written to its terminal, and the keys that are pressed there."""

    def __init__(self, process: subprocess.Popen[bytes], ours: int) -> None:
        self.process = process
        self._ours = ours
        self._shown = bytearray()

    def press(self, keys: bytes) -> None:
        """Presses keys."""
        os.write(self._ours, keys)

    def shown(self) -> str:
        """All that it wrote so far, sequences included."""
        try:
            while found := os.read(self._ours, 65_536):
                self._shown += found
        except OSError:
            pass  # nothing new; on Linux also: the other side has been closed
        return self._shown.decode(errors="replace")

    def last_screen(self) -> list[str]:
        """The lines of the last whole screen, as people see them."""
        whole = self.shown().split(HOME)[1:-1]  # the very last one may be half written
        last = whole[-1] if whole else ""
        return _SEQUENCE.sub("", last).replace("\r", "").split("\n")

    async def until_shown(self, word: str) -> None:
        """Waits until it has written that."""
        await until(lambda: word in self.shown(), LIMIT_S, f"{word!r} on the terminal")

    async def ended(self) -> int:
        """Waits for its end; the exit status."""
        await until(lambda: self.process.poll() is not None, LIMIT_S, "the command ends")
        return self.process.returncode


@contextmanager
def on_a_terminal(
    *words: str, environment: Mapping[str, str], columns: int = 80, lines: int = 24
) -> Iterator[Terminal]:
    """`gateway WORDS` on a terminal of that size; killed at the end, if it has not ended."""
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", *words],
        env={"TERM": "xterm", **environment},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 -- nothing else runs then
    )
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.wait()
        os.close(ours)
