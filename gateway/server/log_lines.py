"""How log lines reach standard error: whole, in their order, several in one write where they come together.

Owns what waits and what was lost. A full disk, or a pipe whose reader is gone: lines are lost, and whoever wrote them
goes on. The loop that keeps the connection to Redis logs, too, and would end for good. The first lines that are written
again are followed by one that says how many were lost.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
from contextvars import Context
from select import PIPE_BUF

import structlog

TOGETHER_S = 0.02
"""How long a line may wait for others. Who follows a log does not notice it."""

_NO_CONTEXT = Context()


class _Lines:
    """Lines of JSON that wait to be written together: of a thousand clients that join in a second each makes two, and a
    write costs as much as all else of a line. They leave in their order after `TOGETHER_S`, or before what comes then:
    a line that may be the last one (a warning), one of the standard library, the end of the process."""

    def __init__(self) -> None:
        self._lost = 0  # lines that standard error has not taken since it took some
        self.forget()

    def forget(self) -> None:
        """Drops what waits: it is another process's."""
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0  # with the ends of their lines
        self._loop: asyncio.AbstractEventLoop | None = None  # the one that will write what waits

    def add(self, line: bytes) -> None:
        """Writes a line soon; where no event loop runs, at once."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.write(line)
            return
        if self._waiting_bytes + len(line) >= PIPE_BUF:  # more might mix with lines of other workers
            self.write()
        if not self._waiting or self._loop is not loop:
            self._loop = loop
            loop.call_later(TOGETHER_S, self.write, context=_NO_CONTEXT)
        self._waiting.append(line)
        self._waiting_bytes += len(line) + 1

    def write(self, line: str | bytes | None = None) -> None:
        """Writes what waits, and then this line, if they can be written."""
        lines, self._waiting, self._waiting_bytes = self._waiting, [], 0
        if isinstance(line, bytes):
            lines.append(line)
        text = line if isinstance(line, str) else None
        if not lines and text is None:
            return
        try:
            _write(lines, text)
        except (OSError, ValueError):  # such as "write to closed file"
            self._lost += len(lines) + (text is not None)
            return
        if lost := self._lost:
            self._lost = 0
            structlog.get_logger("gateway.server.logs").warning("log_lines_lost", lines=lost)


def _write(lines: list[bytes], text: str | None) -> None:
    error = sys.stderr
    if lines:
        error.buffer.write(b"\n".join(lines) + b"\n")
    if text is not None:
        error.write(text + "\n")
    error.flush()


_lines = _Lines()
write_waiting = _lines.write
atexit.register(_lines.write)
os.register_at_fork(after_in_child=_lines.forget)


class StandardError:
    """Where structlog's own lines end."""

    def __init__(self, name: str = "") -> None:
        self.name = name

    def write_soon(self, line: str | bytes) -> None:
        """Writes one line, with others that come at this time."""
        if isinstance(line, bytes):
            _lines.add(line)
        else:
            _lines.write(line)

    def write_line(self, line: str | bytes) -> None:
        """Writes one line now."""
        _lines.write(line)

    debug = info = write_soon
    warning = error = critical = write_line
